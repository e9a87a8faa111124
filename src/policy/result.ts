import type { Digest } from '#core';
import type { Judged } from './decide.ts';

export interface Binding {
  readonly blocksRollback: boolean;
}

export function pass(rule: string, found: string, { blocksRollback }: Binding, evidence: readonly Digest[] = []): Judged {
  return { result: { rule, passed: true, found, nearest: null, fix: null, blocksRollback }, evidence };
}

export function fail(rule: string, found: string, { blocksRollback }: Binding, help: { nearest: string | null; fix: string }): Judged {
  return { result: { rule, passed: false, found, ...help, blocksRollback }, evidence: [] };
}
