import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { CairnError } from '#core';
import { readArchive } from './archive-read.ts';
import { ArchiveWriter } from './archive-write.ts';

test('a file that an application put a link in the way of is not taken along', async (t) => {
  const folder = await mkdtemp('/tmp/cairn-a-');
  t.after(() => rm(folder, { recursive: true }));
  const [data, keys] = [join(folder, 'data'), join(folder, 'keys')];
  for (const one of [data, keys]) await mkdir(one);
  await writeFile(join(keys, 'passphrase'), 'secret');
  await writeFile(join(data, 'order'), 'tea');
  // It was a folder and a file when they were listed.
  await symlink(keys, join(data, 'folder'));
  await symlink(join(keys, 'passphrase'), join(data, 'file'));
  const archive = await ArchiveWriter.create(join(folder, 'home.tar'));
  const copied = (name: string) => archive.copied(`data/${name}`, join(data, name), join(folder, 'copy'), data);
  await copied('order');
  await copied('folder/passphrase');
  await copied('file');
  await archive.finish({ kind: 'cairn-backup' });
  assert.ok(!(await readFile(join(folder, 'home.tar'))).includes('secret'));
  const { files } = await readArchive(join(folder, 'home.tar'), join(folder, 'out'), () => true);
  assert.deepEqual(files.map(({ path }) => path), ['data/order']);
});

test('an archive that is given up leaves nothing, and a name that is taken stays what it was', async (t) => {
  const folder = await mkdtemp('/tmp/cairn-a-');
  t.after(() => rm(folder, { recursive: true }));
  const path = join(folder, 'home.tar');
  const given = await ArchiveWriter.create(path);
  await given.bytes('token', Buffer.from('x'), 0o600);
  await given.abandon();
  assert.deepEqual(await readdir(folder), []);
  // Two at once: the one that ends last must not take the other's place.
  const [first, second] = [await ArchiveWriter.create(path), await ArchiveWriter.create(path)];
  await first.finish({ which: 'first' });
  await assert.rejects(second.finish({ which: 'second' }), (error) => error instanceof CairnError && error.code === 'usage');
  await second.abandon();
  assert.deepEqual(await readdir(folder), ['home.tar']);
  assert.equal((await readArchive(path, join(folder, 'out'), () => true)).about['which'], 'first');
});
