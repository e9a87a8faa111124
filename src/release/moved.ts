import type { RuleResult } from '#attest';
import { CairnError, shortDigest, type Digest } from '#core';
import type { Decision } from '#policy';
import type { Revision, Timeline } from './ports.ts';
import type { Asked } from './statements.ts';

/** How a promotion or rollback ended, or stands. */
export interface Moved {
  readonly operation: string;
  readonly revision: Revision;
  readonly from: Digest | null;
  readonly switchedMs: number | null;
  readonly preparedMs: number | null;
  readonly healthy: number;
  readonly warm: boolean;
  /** Until it is confirmed, in seconds; 0 where it is. */
  readonly confirmSeconds: number;
  /** Rules that failed and did not stop it. */
  readonly debts: readonly RuleResult[];
  /** False where the switch stands in the runner's journal only, since the log could not be written. */
  readonly recorded: boolean;
}

export function movedOf(revision: Revision, more: Partial<Moved> = {}): Moved {
  return { operation: revision.operation, revision, from: null, switchedMs: null, preparedMs: null, healthy: 0, warm: true, confirmSeconds: 0, debts: [], recorded: true, ...more };
}

export function headMoved(timeline: Timeline, head: number): CairnError {
  return new CairnError('conflict', `${timeline.environment} has moved from revision ${head} to ${timeline.head} since you looked; nothing was switched`, { fix: 'cairn status, then decide again' });
}

export function refusal(asked: Pick<Asked, 'application' | 'release' | 'environment'>, decision: Pick<Decision, 'rules'>): CairnError {
  const failed = decision.rules.filter((rule) => !rule.passed);
  const [first] = failed;
  return new CairnError('refused', `${asked.application} ${shortDigest(asked.release)} -> ${asked.environment}: ${failed.map(({ found }) => found).join('; ') || 'refused'}; nothing was changed`, {
    ...(first?.fix && { fix: first.fix }),
    context: { rules: decision.rules },
  });
}
