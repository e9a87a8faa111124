import { parseArgs } from 'node:util';
import { decide } from './decide.ts';
import { gateway } from './gateway.ts';
import { idle } from './idle.ts';
import { rollback } from './rollback.ts';
import { verify } from './verify.ts';

// npm run bench -- NAME [--count N]: measures, prints tables, and fails where a stated target is missed.

export interface Table {
  readonly columns: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

export interface Report {
  readonly title: string;
  readonly tables: readonly Table[];
  /** What was missed; empty where every target was met. */
  readonly missed: readonly string[];
}

type Benchmark = (count: number, say: (line: string) => void) => Promise<Report>;

const benchmarks: Readonly<Record<string, { readonly run: Benchmark; readonly count: number }>> = {
  decide: { run: decide, count: 1000 },
  gateway: { run: gateway, count: 5 },
  idle: { run: idle, count: 1000 },
  rollback: { run: rollback, count: 200 },
  verify: { run: verify, count: 5 },
};

function printed({ columns, rows }: Table): string {
  const all = [columns, ...rows];
  const widths = columns.map((_, at) => Math.max(...all.map((row) => (row[at] ?? '').length)));
  const line = (row: readonly string[]) => `  ${row.map((cell, at) => (at === 0 ? cell.padEnd(widths[at] ?? 0) : cell.padStart(widths[at] ?? 0))).join('   ')}`.trimEnd();
  return [line(columns), line(widths.map((width) => '-'.repeat(width))), ...rows.map(line)].join('\n');
}

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({ options: { count: { type: 'string' } }, allowPositionals: true });
  const [name = ''] = positionals;
  const benchmark = Object.hasOwn(benchmarks, name) ? benchmarks[name] : undefined;
  const count = Number(values.count ?? benchmark?.count);
  if (benchmark === undefined || positionals.length !== 1 || !Number.isSafeInteger(count) || count < 1) {
    process.stderr.write(`usage: npm run bench -- ${Object.keys(benchmarks).join('|')} [--count N]\n`);
    return 2;
  }
  const { title, tables, missed } = await benchmark.run(count, (line) => process.stderr.write(`${line}\n`));
  process.stdout.write(`\n${title}\n\n${tables.map(printed).join('\n\n')}\n\n`);
  for (const one of missed) process.stdout.write(`MISSED  ${one}\n`);
  if (missed.length === 0) process.stdout.write('every target met\n');
  return missed.length === 0 ? 0 : 1;
}

process.exitCode = await main();
