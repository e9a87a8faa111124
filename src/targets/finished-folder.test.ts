import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, lstat, mkdir, readdir, readFile, readlink, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { digestOf } from '#core';
import { composeContent, removeLeftovers, unpackLayer } from '#targets';
import { folder, layer, unpackTo } from './fixture.ts';

test('what a crashed process left half made is removed, and what is being made stays', async (t) => {
  const parent = await folder(t);
  assert.deepEqual(await removeLeftovers(join(parent, 'absent')), []);
  const living = spawn('sleep', ['60']);
  t.after(() => living.kill('SIGKILL'));
  const dead = spawn('true');
  await once(dead, 'exit');
  const [ofDead, ofLiving] = [`x.tmp-${dead.pid}-0123456789ab`, `x.tmp-${living.pid}-0123456789ab`];
  for (const name of [ofDead, ofLiving, 'x.tmp-0123456789ab', 'finished', 'x.tmp-else']) await mkdir(join(parent, name, 'sub'), { recursive: true });
  for (const path of ['sub', '']) await chmod(join(parent, ofDead, path), 0o555);
  const bytes = await layer({ name: 'a', body: 'a' });
  const go = Promise.withResolvers<void>();
  const slow = async function* (): AsyncGenerator<Buffer> {
    await go.promise;
    yield bytes;
  };
  const making = unpackLayer(slow(), digestOf(bytes), join(parent, 'made'));
  while (!(await readdir(parent)).some((name) => name.startsWith('made.tmp-'))) await once(AbortSignal.timeout(1), 'abort');
  assert.deepEqual((await removeLeftovers(parent)).toSorted(), ['x.tmp-0123456789ab', ofDead].toSorted());
  go.resolve();
  await making;
  assert.deepEqual((await readdir(parent)).toSorted(), ['finished', 'made', ofLiving, 'x.tmp-else'].toSorted());
});

test('layers are composed by hard links, the later one winning, by many at once and again', async (t) => {
  const parent = await folder(t);
  await unpackTo(
    join(parent, 'one'),
    { name: 'app/a', body: 'one' },
    { name: 'app/b', body: 'one' },
    { name: 'swap/x', body: 'one' },
    { name: 'link', type: 'symlink', linkname: 'app' },
  );
  await unpackTo(
    join(parent, 'two'),
    { name: 'app/b', body: 'two' },
    { name: 'swap', type: 'symlink', linkname: 'app' },
    { name: 'link/b', body: 'two' },
  );
  const layers = [join(parent, 'one'), join(parent, 'two')];
  const content = join(parent, 'content');
  await Promise.all([1, 2, 3].map(() => composeContent(layers, content)));
  await composeContent(layers, content);
  assert.equal(await readFile(join(content, 'app/a'), 'utf8'), 'one');
  assert.equal(await readFile(join(content, 'app/b'), 'utf8'), 'two');
  assert.equal(await readlink(join(content, 'swap')), 'app');
  assert.ok((await lstat(join(content, 'link'))).isDirectory(), 'a folder takes the place of a link and is not written through it');
  assert.equal((await stat(join(content, 'app/a'))).ino, (await stat(join(parent, 'one/app/a'))).ino);
  assert.deepEqual((await readdir(parent)).toSorted(), ['content', 'one', 'two']);
});

test('a layer whose folder holds anything else is not composed', async (t) => {
  const parent = await folder(t);
  await mkdir(join(parent, 'one'));
  await writeFile(join(parent, 'one', 'a'), 'a');
  const server = createServer().listen(join(parent, 'one', 'socket'));
  await once(server, 'listening');
  t.after(() => server.close());
  await assert.rejects(composeContent([join(parent, 'one')], join(parent, 'content')), { code: 'storage' });
});
