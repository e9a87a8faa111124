import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { chmod, mkdir, mkdtemp, readdir, rm, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { promisify } from 'node:util';
import { top } from './support/machine.ts';

const bin = join(top, 'bin/cairn.js');

async function folderOf(t: TestContext): Promise<string> {
  const folder = await mkdtemp('/tmp/cairn-b-');
  t.after(() => rm(folder, { recursive: true }));
  return folder;
}

/** Runs `cairn --version` with nothing in its environment but this. */
async function version(environment: Readonly<Record<string, string>>): Promise<string> {
  return (await promisify(execFile)(process.execPath, [bin, '--version'], { env: { PATH: process.env['PATH'] ?? '', ...environment } })).stdout;
}

test('what was compiled is kept where only we write, and nowhere else', async (t) => {
  const folder = await folderOf(t);
  const [own, open] = [join(folder, 'own'), join(folder, 'open')];
  for (const one of [own, open]) await mkdir(one, { mode: 0o700 });
  await chmod(open, 0o777);
  const said = await version({ HOME: own });
  assert.match(said, /^\d+\.\d+\.\d+\n$/);
  assert.ok((await readdir(join(own, '.cache/cairn/compiled'))).length > 0);
  // Whoever can write there would have us run what they like.
  assert.equal(await version({ HOME: open }), said);
  assert.deepEqual(await readdir(open), []);
  assert.equal(await version({ HOME: own, XDG_CACHE_HOME: open }), said);
  assert.deepEqual(await readdir(open), []);
  // Put there beforehand by somebody else, for us to find.
  const swapped = join(folder, 'swapped');
  await mkdir(join(swapped, '.cache/cairn'), { recursive: true, mode: 0o700 });
  await symlink(open, join(swapped, '.cache/cairn/compiled'));
  assert.equal(await version({ HOME: swapped }), said);
  assert.deepEqual(await readdir(open), []);
  assert.equal(await version({}), said);
  assert.equal(await version({ HOME: join(folder, 'none') }), said);
});

test('a reader that stops early ends the command without a word', async () => {
  const { stderr } = await promisify(execFile)('bash', ['-c', `'${process.execPath}' '${bin}' --help | true; '${process.execPath}' '${bin}' completion bash | head -n 1`]);
  assert.equal(stderr, '');
});
