import { parseArgs } from 'node:util';
import { decide } from './decide.ts';
import { gateway } from './gateway.ts';
import { idle } from './idle.ts';
import { logMillion } from './log-million.ts';
import { log } from './log.ts';
import { replay } from './replay.ts';
import { rollback } from './rollback.ts';
import { trust } from './trust.ts';
import { verify } from './verify.ts';
import { verifyCold } from './verify-cold.ts';

// npm run bench -- NAME [--count N] [--short]: measures, prints tables, and fails where a stated target is missed.

export interface Table {
  readonly columns: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

/** A promise and what was measured of it. */
export interface Figure {
  readonly what: string;
  readonly target: string;
  readonly figure: string;
  readonly met: boolean;
}

export interface Report {
  readonly title: string;
  readonly tables: readonly Table[];
  /** Those that are promised, for the table of `trust`. */
  readonly figures?: readonly Figure[];
  /** What was missed; empty where every target was met. */
  readonly missed: readonly string[];
}

/** What a benchmark is run with; `short` where only whether it works is asked. */
export type Benchmark = (count: number, say: (line: string) => void) => Promise<Report>;
export interface Named {
  readonly run: Benchmark;
  readonly count: number;
  readonly short?: number;
}

const benchmarks: Readonly<Record<string, Named>> = {
  decide: { run: decide, count: 1000, short: 100 },
  gateway: { run: gateway, count: 5 },
  idle: { run: idle, count: 1000 },
  log: { run: log, count: 5, short: 1 },
  'log-million': { run: logMillion, count: 1_000_000 },
  rollback: { run: rollback, count: 200 },
  replay: { run: replay, count: 10_000, short: 500 },
  verify: { run: verify, count: 5, short: 1 },
  'verify-cold': { run: verifyCold, count: 30, short: 5 },
};
/** Those of trust, one after another. */
const trusted = ['verify', 'verify-cold', 'decide', 'log', 'replay'] as const;

function printed({ columns, rows }: Table): string {
  const all = [columns, ...rows];
  const widths = columns.map((_, at) => Math.max(...all.map((row) => (row[at] ?? '').length)));
  const line = (row: readonly string[]) => `  ${row.map((cell, at) => (at === 0 ? cell.padEnd(widths[at] ?? 0) : cell.padStart(widths[at] ?? 0))).join('   ')}`.trimEnd();
  return [line(columns), line(widths.map((width) => '-'.repeat(width))), ...rows.map(line)].join('\n');
}

function show({ title, tables, missed }: Report): void {
  process.stdout.write(`\n${title}\n\n${tables.map(printed).join('\n\n')}\n\n`);
  for (const one of missed) process.stdout.write(`MISSED  ${one}\n`);
}

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({ options: { count: { type: 'string' }, short: { type: 'boolean', default: false } }, allowPositionals: true });
  const [name = ''] = positionals;
  const all: Readonly<Record<string, Named>> = { ...benchmarks, trust: trust(trusted.map((one) => [one, benchmarks[one]]), values.short, show) };
  const benchmark = Object.hasOwn(all, name) ? all[name] : undefined;
  const count = Number(values.count ?? (values.short ? (benchmark?.short ?? benchmark?.count) : benchmark?.count));
  if (benchmark === undefined || positionals.length !== 1 || !Number.isSafeInteger(count) || count < 1) {
    process.stderr.write(`usage: npm run bench -- ${Object.keys(all).join('|')} [--count N] [--short]\n`);
    return 2;
  }
  const report = await benchmark.run(count, (line) => process.stderr.write(`${line}\n`));
  show(report);
  // A short form finds out whether it works, on a machine that does other things too; how long it takes is judged by the long one.
  if (values.short) process.stdout.write('the short form works; targets are judged by the long one\n');
  else if (report.missed.length === 0) process.stdout.write('every target met\n');
  return report.missed.length === 0 || values.short ? 0 : 1;
}

process.exitCode = await main();
