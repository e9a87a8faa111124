import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { digestOf } from '#core';
import { fuzz } from './engine.ts';
import { parsers } from './parsers.ts';

// npm run fuzz [-- PARSER] [--seed N] [--seconds N | --inputs N]: what each parser does with what an attacker may send it. A finding is printed with its
// seed, and its smallest input is kept in test/fuzz/regressions, which the tests try again from then on.

const { values, positionals } = parseArgs({ options: { seed: { type: 'string', default: '1' }, seconds: { type: 'string', default: '60' }, inputs: { type: 'string' } }, allowPositionals: true });
const [seed, seconds, inputs] = [Number(values.seed), Number(values.seconds), Number(values.inputs ?? '1')];
/** So many inputs are the same ones on every machine; so many seconds are what a machine can do in them. */
const effort = values.inputs === undefined ? { seed, milliseconds: seconds * 1000 } : { seed, inputs };
const wanted = parsers.filter(({ name }) => positionals.length === 0 || positionals.includes(name));
if (wanted.length === 0 || wanted.length < positionals.length || !Number.isSafeInteger(seed) || !(seconds > 0) || !(inputs > 0)) {
  process.stderr.write(`usage: npm run fuzz [-- PARSER] [--seed N] [--seconds N | --inputs N, for each]\nparsers: ${parsers.map(({ name }) => name).join(', ')}\n`);
  process.exit(2);
}
const root = join(import.meta.dirname, '../..');
let found = 0;
for (const parser of wanted) {
  const { inputs: tried, accepted, refused, findings } = await fuzz(parser, effort);
  process.stdout.write(`${parser.name.padEnd(18)} ${String(tried).padStart(8)} inputs   accepted ${accepted}   refused ${[...refused].map(([code, count]) => `${code} ${count}`).join(', ')}\n`);
  for (const { what, input } of findings) {
    found++;
    const path = `test/fuzz/regressions/${parser.name}/${digestOf(input).slice(7, 19)}.bin`;
    // What is large is slow, not deep; the same seed finds it again.
    const kept = input.byteLength <= 65_536;
    if (kept) {
      mkdirSync(dirname(join(root, path)), { recursive: true });
      writeFileSync(join(root, path), input);
    }
    process.stdout.write(`FOUND  ${parser.name}, seed ${seed}: ${what}\n       ${JSON.stringify(input.toString('utf8').slice(0, 300))}\n       ${kept ? `kept as ${path}` : 'too large to be kept'}\n`);
  }
}
process.exitCode = found === 0 ? 0 : 1;
