import assert from 'node:assert/strict';
import { chown, lstat, mkdir, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { contentOf, preparing, running, shop, switching } from './fixture.ts';

type Environment = Record<string, string> & { uid: number; cwd: string };

async function environmentOf(url: string): Promise<Environment> {
  return (await (await fetch(`${url}/environment`)).json()) as Environment;
}

test('a process has its declared data folders, a private home, and nothing that was not given to it', async (t) => {
  const { client, folder, url } = await running(t);
  await client.prepare(preparing(folder, 'one', [{ data: ['files', 'up-loads'] }]));
  await client.switch(switching('one', null, 'first'));
  const { uid: _, cwd, ...given } = await environmentOf(url);
  const data = join(folder, 'data/production/shop');
  const { PORT, ...rest } = given;
  assert.ok(Number(PORT) > 0);
  assert.deepEqual(rest, {
    VERSION: 'one', CAIRN_COMPONENT: 'web', HOST: '127.0.0.1', HOME: join(data, '.home'), CAIRN_DATA_FILES: join(data, 'files'), CAIRN_DATA_UP_LOADS: join(data, 'up-loads'),
  });
  assert.equal(cwd, join(folder, 'content/app'));
  for (const name of ['.home', 'files', 'up-loads']) assert.equal((await stat(join(data, name))).mode & 0o777, 0o700, name);
});

test('what one revision writes the next one finds, and a retired one leaves', async (t) => {
  const { client, folder, url } = await running(t);
  for (const version of ['one', 'two']) await client.prepare(preparing(folder, version));
  await client.switch(switching('one', null, 'first'));
  await fetch(`${url}/write`);
  await client.switch(switching('two', 'one', 'second'));
  await client.retire({ ...shop, content: contentOf('one') });
  const note = join(folder, 'data/production/shop/files/note');
  assert.equal(await readFile(note, 'utf8'), 'one');
  await fetch(`${url}/write`);
  assert.equal(await readFile(note, 'utf8'), 'two');
});

test('as root each application has a user of its own, and the state says so; otherwise it says why not', async (t) => {
  const { client, folder, url } = await running(t);
  const { isolation } = await client.state();
  if (!isolation.users) assert.match(isolation.reason ?? '', /only root|setpriv|closed/);
  await client.prepare(preparing(folder, 'one'));
  await client.prepare(preparing(folder, 'blog', [{ routes: [{ host: null, path: '/blog' }] }], 'blog'));
  await client.switch(switching('one', null, 'first'));
  await client.switch({ ...switching('blog', null, 'blog'), application: 'blog' });
  if (!isolation.users) return t.skip(isolation.reason ?? '');
  const one = await environmentOf(url);
  assert.ok(one.uid > 60_000);
  const owner = async (application: string) => (await stat(join(folder, 'data/production', application, 'files'))).uid;
  assert.equal(await owner('shop'), one.uid);
  assert.notEqual(await owner('blog'), one.uid);
  assert.notEqual(await owner('blog'), 0);
  for (const above of ['data', 'data/production', 'data/production/shop']) {
    const { uid, mode } = await stat(join(folder, above));
    assert.deepEqual([uid, mode & 0o777], [0, 0o711], above);
  }
});

test('data of before the application had a user of its own becomes its own, and what a link leads to does not', async (t) => {
  const { client, folder, url } = await running(t);
  const { isolation } = await client.state();
  if (!isolation.users) return t.skip(isolation.reason ?? '');
  const files = join(folder, 'data/production/shop/files');
  await mkdir(join(files, 'deep'), { recursive: true, mode: 0o700 });
  await writeFile(join(files, 'note'), 'zero');
  await writeFile(join(folder, 'precious'), 'ours');
  await symlink(join(folder, 'precious'), join(files, 'deep', 'link'));
  await chown(join(files, 'note'), 12345, 12345);
  await client.prepare(preparing(folder, 'one'));
  await client.switch(switching('one', null, 'first'));
  assert.equal((await fetch(`${url}/write`)).status, 200);
  const { uid } = await environmentOf(url);
  for (const name of ['', 'note', 'deep', 'deep/link']) assert.equal((await lstat(join(files, name))).uid, uid, name);
  assert.equal((await stat(join(folder, 'precious'))).uid, 0);
});
