import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fuzz, judge } from './fuzz/engine.ts';
import { parsers } from './fuzz/parsers.ts';

// A few hundred inputs of one seed for each parser; `npm run fuzz` takes as long as it is given.

for (const parser of parsers) {
  test(`${parser.name}: whatever comes is read or refused with a code, soon and in little memory`, async () => {
    const { findings, inputs } = await fuzz(parser, { seed: 2026, inputs: 150, milliseconds: 10_000 });
    assert.deepEqual(findings.map(({ what, input }) => `${what} on ${JSON.stringify(input.toString('utf8').slice(0, 300))}`), []);
    assert.ok(inputs > 20, `only ${inputs} inputs in the time`);
  });
}

test('what was found once is refused, or read, ever since', async () => {
  const folder = join(import.meta.dirname, 'fuzz/regressions');
  const names = existsSync(folder) ? readdirSync(folder) : [];
  for (const name of names) {
    const parser = parsers.find((one) => one.name === name);
    assert.ok(parser !== undefined, `${name} is no parser any more`);
    for (const file of readdirSync(join(folder, name))) assert.match(await judge(parser, readFileSync(join(folder, name, file))), /^(accepted|refused [a-z-]+)$/, `${name}/${file}`);
  }
});
