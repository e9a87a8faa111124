import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { outputs } from '../src/cli/outputs.ts';

const run = promisify(execFile);
const repository = join(import.meta.dirname, '..');

test('whose certificates are believed is shown, and put in place by a command that takes nothing it cannot read', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'cairn-roots-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const cairn = async (...words: string[]) => {
    const answer = await run(process.execPath, [join(repository, 'bin/cairn.js'), 'trust', ...words, '--json'], { cwd: folder, env: { ...process.env, CAIRN_HOME: join(folder, 'home') } }).catch((error: { stdout: string; code: number }) => error);
    return { code: 'code' in answer ? answer.code : 0, said: JSON.parse(answer.stdout) as unknown };
  };
  const seed = outputs['trust-show'].parse((await cairn('show')).said);
  assert.deepEqual([seed.from, seed.roots.length, seed.roots[0]?.logs[0]?.name], ['seed', 1, 'rekor.sigstore.dev']);

  const { root } = JSON.parse(await readFile(join(repository, 'src/verify/fixture-keyless.json'), 'utf8')) as { root: object };
  const good = JSON.stringify(root);
  const publicGood = JSON.stringify(JSON.parse(await readFile(join(repository, 'src/verify/roots/sigstore-public-good.json'), 'utf8')));
  await writeFile(join(folder, 'two.jsonl'), `${publicGood}\n${good}\n`);
  const put = outputs['trust-root'].parse((await cairn('root', 'two.jsonl')).said);
  assert.deepEqual([put.from, put.roots.length, put.replaced], ['home', 2, [seed.roots[0]?.digest]]);

  await writeFile(join(folder, 'bad.json'), good.replace('"ctlogs":', '"ctlogs":[],"ctlogs":'));
  const refused = await cairn('root', 'bad.json');
  assert.deepEqual([refused.code, outputs.error.parse(refused.said).error.code, outputs.error.parse(refused.said).error.context['reason']], [4, 'malformed-document', 'duplicate-key']);
  assert.equal((await cairn('root', 'missing.json')).code, 6);
  assert.deepEqual(outputs['trust-show'].parse((await cairn('show')).said).roots, put.roots);
});
