import assert from 'node:assert/strict';
import { mkdtemp, mkdir, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { readMutants, stale, tryMutants, type Mutant } from './support/mutants.ts';

const root = join(import.meta.dirname, '..');

test('every mutant still finds its place in the code, and no two are one', () => {
  const mutants = readMutants(root);
  assert.deepEqual(mutants.flatMap((one) => (stale(root, one) === undefined ? [] : [`${one.by}: ${one.guard}: ${stale(root, one)}`])), []);
  const keys = mutants.map(({ file, find, replace, test, name }) => JSON.stringify([file, find, replace, test, name]));
  assert.deepEqual(keys.filter((key, at) => keys.indexOf(key) !== at), []);
});

test('a guard that no test misses is told, and so are a mutant without a place, without a test, and one that does not load', async (t) => {
  const folder = await mkdtemp('/tmp/cairn-guards-');
  t.after(() => rm(folder, { recursive: true, force: true }));
  const files = {
    'src/door.ts': "export const open = (key: string): boolean => key === 'right';\nexport const wide = (n: number): boolean => n < 3;\n",
    'src/door.test.ts': "import assert from 'node:assert/strict';\nimport { test } from 'node:test';\nimport { open } from './door.ts';\ntest('the right key opens, no other', () => assert.deepEqual([open('right'), open('wrong')], [true, false]));\ntest('red', () => assert.ok(false));\ntest('elsewhere only', { skip: 'not here' }, () => {});\n",
    'test/support/mutant-reporter.ts': 'export { default } from ' + JSON.stringify(join(root, 'test/support/mutant-reporter.ts')) + ';\n',
    'package.json': '{"type":"module"}',
  };
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await writeFile(join(folder, path), text);
  }
  const base = { by: 'x', guard: 'the key', file: 'src/door.ts', find: "key === 'right'", replace: 'true', test: 'src/door.test.ts', name: 'right key' };
  const mutants: Mutant[] = [
    base, { ...base, replace: "key >= 'right' && key < 's'" }, { ...base, find: 'boolean' }, { ...base, name: 'no such name' }, { ...base, replace: '{{{' }, { ...base, name: '^red' }, { ...base, name: 'elsewhere' },
    { ...base, replace: "(() => { while (key !== '') if (key === 'right') return true; return false; })()" }, { ...base, find: 'n < 3', replace: 'true' },
  ];
  const verdicts = await tryMutants(mutants, { root: folder, node: process.execPath, lanes: 2, limitMs: 3000, say: () => {} });
  assert.deepEqual(verdicts.map(({ fate }) => fate), ['caught', 'survived', 'stale', 'no such test', 'does not load', 'red before', 'skipped', 'caught', 'survived']);
  assert.match(verdicts[7]?.by ?? '', /time limit/);
});
