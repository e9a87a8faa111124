import type { RuleResult } from '#attest';
import type { Digest } from '#core';
import type { Judged } from './decide.ts';

export interface Binding {
  readonly blocksRollback: boolean;
}

export interface Help {
  readonly nearest: string | null;
  readonly fix: string;
  /** Nothing was there (`absent`), what was there is not enough (`unmet`), or who should have answered did not. */
  readonly cause: NonNullable<RuleResult['cause']>;
  /** Envelopes that came nearest. */
  readonly evidence?: readonly Digest[];
}

/** `until`: seconds since 1970 at which time alone could change the result; left out where it cannot. */
export function pass(rule: string, found: string, { blocksRollback }: Binding, evidence: readonly Digest[] = [], until?: number): Judged {
  return { result: { rule, passed: true, found, nearest: null, fix: null, blocksRollback, ...(evidence.length > 0 && { evidence: [...evidence] }) }, evidence, until };
}

export function fail(rule: string, found: string, { blocksRollback }: Binding, { nearest, fix, cause, evidence = [] }: Help, until?: number): Judged {
  return { result: { rule, passed: false, found, nearest, fix, blocksRollback, cause, ...(evidence.length > 0 && { evidence: [...evidence] }) }, evidence: [], until };
}
