import type { Facts } from '#attest';
import { environmentOf, type Policy } from '#policy';
import type { Witnesses } from './ports.ts';

/** A question to a witness and its answer fit within, also where the first address of it does not answer. */
const patienceMs = 8_000;
/** Whoever goes back is in trouble already. */
const backMs = 2_000;

interface Asked {
  readonly policy: Policy;
  readonly environment: string;
  readonly direction: 'promote' | 'rollback';
  /** Log index of the newest statement that is weighed; -1 where there is none. */
  readonly newest: number;
  /** Whether something is decided by it: whoever only looks ahead takes what is known. */
  readonly patient: boolean;
}

/**
 * Who cosigned a checkpoint that covers everything that is weighed. Where a rule of the environment rests on it, witnesses that are behind are asked at once, within a bounded wait; otherwise
 * what is known is taken as it is. On the way back only a rule that stops a rollback is worth a wait.
 */
export async function witnessFacts(witnesses: Witnesses | undefined, { policy, environment, direction, newest, patient }: Asked): Promise<Pick<Facts, 'witnessed' | 'sources'>> {
  const all = policy.witnesses?.length ?? 0;
  if (witnesses === undefined || all === 0) return { witnessed: null, sources: [] };
  const wanted = environmentOf(policy, environment).rules.flatMap((rule) => {
    if (direction === 'rollback' && !rule.blocksRollback) return [];
    // What an expression makes of it nobody knows but the expression.
    return rule.kind === 'witnessed' ? [rule.threshold] : rule.kind === 'cel' && rule.expression.includes('witnessed') ? [all] : [];
  });
  return witnesses.covering(newest + 1, Math.max(0, ...wanted), wanted.length === 0 || !patient ? 0 : direction === 'promote' ? patienceMs : backMs);
}
