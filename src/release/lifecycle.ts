import { CairnError } from '#core';

export const states = ['proposed', 'denied', 'admitted', 'preparing', 'failed', 'live', 'confirmed', 'standby', 'retained', 'reverted', 'retired'] as const;

export type State = (typeof states)[number];

/**
 * The one table of legal transitions. Logged: proposed (request), admitted and denied (verdict), preparing (intent),
 * live, confirmed and failed (outcome); a rollback is confirmed at its switch. Derived: when a revision goes live, the one before it becomes standby, or reverted
 * if the new one is a rollback, and the standby before that becomes retained.
 */
const transitions: Readonly<Record<State, readonly State[]>> = {
  proposed: ['admitted', 'denied'],
  // A switch that the runner made by its plan while nobody could ask the gate, and that today's gate would refuse: it is logged as
  // what happened, with the incident that it is.
  denied: ['preparing'],
  admitted: ['preparing'],
  preparing: ['live', 'confirmed', 'failed'],
  failed: [],
  // failed: it did not hold its watch and there was nothing to return to.
  live: ['confirmed', 'standby', 'reverted', 'failed'],
  confirmed: ['standby', 'reverted'],
  standby: ['retained', 'retired'],
  retained: ['retired'],
  reverted: ['retired'],
  retired: [],
};

/** @throws CairnError `storage`: a transition that no order of statements can give means a damaged or forged log. */
export function advance(from: State, to: State): State {
  if (transitions[from].includes(to)) return to;
  throw new CairnError('storage', `a revision cannot go from ${from} to ${to}`, { fix: 'cairn verify, then restore the ledger from a backup' });
}
