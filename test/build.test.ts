import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { cp, mkdtemp, realpath, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { node, top } from './support/machine.ts';

test('what was built runs in the place of the sources, until one of them is another', async (t) => {
  const folder = await mkdtemp('/tmp/cairn-b-');
  t.after(() => rm(folder, { recursive: true }));
  for (const name of ['bin', 'src', 'package.json', 'package-lock.json']) await cp(join(top, name), join(folder, name), { recursive: true });
  await symlink(await realpath(join(top, 'node_modules')), join(folder, 'node_modules'));
  const run = async (...parameters: string[]) => (await promisify(execFile)(node, parameters, { cwd: folder, env: { PATH: process.env['PATH'] ?? '' } })).stdout;
  const cairn = (...words: string[]) => run(join(folder, 'bin/cairn.js'), ...words);
  const said = await cairn('--version');
  await run(join(folder, 'bin/build.ts'));
  assert.equal(await cairn('--version'), said);
  assert.match(await cairn('verify', '--help'), /USAGE\n {2}cairn verify/, 'what the file of one command is not for goes on to the others');

  await writeFile(join(folder, 'dist/main/cairn.js'), "process.stdout.write('built\\n')\n");
  assert.equal(await cairn('--version'), 'built\n');
  await utimes(join(folder, 'src/core/digest.ts'), new Date(), new Date());
  assert.equal(await cairn('--version'), said, 'a source was changed since');
  await run(join(folder, 'bin/build.ts'));
  await writeFile(join(folder, 'dist/main/cairn.js'), "process.stdout.write('built\\n')\n");
  await rm(join(folder, 'src/core/digest.ts'));
  assert.equal(await cairn('--version'), said, 'a source that is gone is no reason to run what was made of it');
});
