import type { CairnError } from '#core';
import type { Context } from './context.ts';

export interface CommonFlags {
  readonly json: boolean;
}

export const jsonFlag = { kind: 'boolean', brief: 'Print one JSON document', default: false } as const;

const tones = { good: 32, bad: 31, soft: 2 } as const;
/** What a line begins with says how it went. */
const labelTones: Readonly<Record<string, keyof typeof tones>> = { ok: 'good', no: 'bad', refused: 'bad', failed: 'bad', incident: 'bad', debt: 'bad', next: 'soft' };

/** A line of columns: what, and what of it. */
export function row(context: Context, label: string, ...columns: readonly string[]): void {
  context.system.out(line(context, label, columns));
}

function line(context: Context, label: string, columns: readonly string[]): string {
  const tone = labelTones[label.split(' ')[0] ?? ''];
  const plain = label.padEnd(10);
  const first = context.system.colour && tone !== undefined ? `\u001b[${tones[tone]}m${plain}\u001b[0m` : plain;
  // What is judged has a name in front, which is short.
  const judged = label === 'ok' || label === 'no' || label === 'debt';
  return `  ${first} ${columns.map((column, at) => column.padEnd(judged && at === 0 ? 12 : 30)).join(' ')}`.trimEnd();
}

/** The one short form of a digest; here because the fastest commands load nothing else. */
export function short(digest: string): string {
  return digest.slice(7, 19);
}

export function size(bytes: number): string {
  if (bytes < 1e3) return `${bytes} B`;
  return bytes < 1e6 ? `${Math.ceil(bytes / 1e3)} kB` : bytes < 1e9 ? `${(bytes / 1e6).toFixed(1)} MB` : `${(bytes / 1e9).toFixed(2)} GB`;
}

export function count(number: number, one: string, many = `${one}s`): string {
  // By hand: asking for a locale loads all of them, which takes longer than anything else here.
  return `${String(number).replaceAll(/\B(?=(\d{3})+$)/g, ',')} ${number === 1 ? one : many}`;
}

/**
 * Runs a command's work: prints what it returns with --json, unless it returns nothing, having printed by itself; a failure ends with code, reason and fix, and with the exit code of
 * its kind. What is no CairnError is a crash and exits 1.
 */
export async function run(context: Context, flags: CommonFlags, work: () => Promise<unknown>): Promise<void> {
  try {
    const result = await work();
    if (flags.json && result !== undefined) context.system.out(JSON.stringify(result, null, 2));
  } catch (thrown) {
    // Loaded only now: a command that goes well need not pay for what describes failures.
    const { asCairnError, exitCodeOf } = await import('#core');
    const error = asCairnError(thrown);
    if (flags.json) context.system.out(JSON.stringify({ error: { code: error.code, message: error.message, fix: error.fix ?? null, context: error.context } }, null, 2));
    else printError(context, error);
    context.process.exitCode = exitCodeOf(error);
  }
}

interface Told {
  readonly rules?: readonly { readonly rule: string; readonly passed: boolean; readonly found: string; readonly nearest: string | null; readonly fix: string | null; readonly cause?: string }[];
  readonly lines?: readonly string[];
  readonly findings?: readonly { readonly what: string; readonly fix: string }[];
}

/** That somebody did not answer is no word against the release: said where it is so. */
function unanswered(found: string, cause: string | undefined): string {
  return cause === 'unreachable' || cause === 'throttled' ? `${found} (${cause})` : found;
}

function printError(context: Context, error: CairnError): void {
  const { err } = context.system;
  err(`error ${error.code}: ${error.message}`);
  const { rules = [], lines = [], findings = [] } = error.context as Told;
  for (const text of lines) err(`  | ${text}`);
  for (const { rule, passed, found, nearest, fix, cause } of rules) err(line(context, passed ? 'ok' : 'no', [rule, unanswered(found, cause), ...(passed ? [] : [nearest ?? '', fix ?? ''].filter((one) => one !== ''))]));
  for (const { what, fix } of findings) {
    err(line(context, 'no', [what]));
    err(line(context, '', [`mend: ${fix}`]));
  }
  if (error.fix !== undefined) err(`  fix: ${error.fix}`);
  if (error.code === 'internal' && error.cause instanceof Error) err(error.cause.stack ?? '');
}
