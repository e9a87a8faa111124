import { asCairnError, exitCodeOf, type CairnError } from '#core';
import type { Context } from './context.ts';

export interface CommonFlags {
  readonly json: boolean;
}

export const jsonFlag = { kind: 'boolean', brief: 'Print one JSON document', default: false } as const;

/** A line of two columns: what, and what of it. */
export function row(context: Context, label: string, ...columns: readonly string[]): void {
  context.system.out(`  ${label.padEnd(16)}${columns.map((column) => column.padEnd(32)).join(' ')}`.trimEnd());
}

/**
 * Runs a command's work: prints what it returns with --json; a failure ends with code, reason and fix, and with the exit code of
 * its kind. What is no CairnError is a crash and exits 1.
 */
export async function run(context: Context, flags: CommonFlags, work: () => Promise<unknown>): Promise<void> {
  try {
    const result = await work();
    if (flags.json) context.system.out(JSON.stringify(result, null, 2));
  } catch (thrown) {
    const error = asCairnError(thrown);
    if (flags.json) context.system.out(JSON.stringify({ error: { code: error.code, message: error.message, fix: error.fix ?? null, context: error.context } }, null, 2));
    else printError(context, error);
    context.process.exitCode = exitCodeOf(error);
  }
}

function printError(context: Context, error: CairnError): void {
  const { err } = context.system;
  err(`error ${error.code}: ${error.message}`);
  const { rules, lines } = error.context as { rules?: { rule: string; passed: boolean; found: string; nearest: string | null; fix: string | null }[]; lines?: string[] };
  for (const line of lines ?? []) err(`  | ${line}`);
  for (const rule of rules ?? []) {
    err(`  ${rule.passed ? 'ok' : 'no'}  ${rule.rule.padEnd(22)} ${rule.found}`);
    if (rule.nearest !== null) err(`      nearest: ${rule.nearest}`);
  }
  if (error.fix !== undefined) err(`  fix: ${error.fix}`);
  if (error.code === 'internal' && error.cause instanceof Error) err(error.cause.stack ?? '');
}
