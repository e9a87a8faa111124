import assert from 'node:assert/strict';
import { mkdir, readdir, readFile, readlink, rm, stat, symlink, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { test } from 'node:test';
import { pack } from 'tar-stream';
import { exists } from '#core';
import { library } from '../support/library.ts';

// What keeps a home in order: what nothing returns to goes, what may be needed comes back from a backup.

interface Collected {
  readonly items: readonly { readonly kind: string; readonly path: string; readonly bytes: number }[];
  readonly bytes: number;
}

test('gc removes what nothing returns to, and nothing else', async (t) => {
  const shop = await library(t);
  const { unpacked, registry, builds } = shop.home.paths;
  const first = await shop.release({ files: { 'server.js': 'one\n' }, packages: { money: '1.0.0' }, message: 'Start' });
  const second = await shop.release({ files: { 'server.js': 'two\n' }, packages: { money: '1.0.0' }, message: 'Go on' });
  const third = await shop.release({ files: { 'server.js': 'three\n' }, packages: { money: '1.0.0' }, message: 'And on' });
  for (const { release } of [first, second, third]) await shop.promote(release, 'staging');
  const standing = { contents: await readdir(join(unpacked, 'contents')), layers: await readdir(join(unpacked, 'layers')) };
  assert.deepEqual([standing.contents.length, standing.layers.length], [3, 4], 'live, standby and retained are unpacked; a layer is shared');
  const blobs = await readdir(join(registry, 'content/blobs/sha256'), { recursive: true });

  // A content that no revision has, and what crashes left an hour ago and just now.
  const stray = join(unpacked, 'contents', 'ab'.repeat(32));
  await mkdir(join(stray, 'app'), { recursive: true });
  await writeFile(join(stray, 'app/server.js'), 'x'.repeat(5000), { mode: 0o444 });
  const old = [join(registry, 'content/incoming/0123456789abcdef01234567'), join(registry, 'repositories/shop/_manifests/.new-0123456789abcdef01234567'), join(shop.home.paths.keys, 'seal.key.tmp-0123456789ab')];
  const fresh = join(registry, 'content/incoming/ffffffffffffffffffffffff');
  const crashed = join(unpacked, 'layers', `${'cd'.repeat(32)}.tmp-0123456789ab`);
  await mkdir(crashed);
  for (const path of [...old, fresh]) await writeFile(path, 'half');
  const before = Date.now() / 1000 - 7200;
  for (const path of old) await utimes(path, before, before);
  // Of the build store: what was pushed goes, the compressed runtime and what a build may still push stay.
  const pushed = standing.layers[0] ?? '';
  const files = Object.fromEntries([['pushed', pushed], ['runtime', 'ee'.repeat(32)], ['fresh', 'ef'.repeat(32)]].map(([name = '', hex = '']) => [name, join(builds, 'blobs/sha256', hex.slice(0, 2), hex)]));
  for (const path of Object.values(files)) {
    await mkdir(join(path, '..'), { recursive: true });
    await writeFile(path, 'built');
    if (path !== files['fresh']) await utimes(path, before, before);
  }
  await writeFile(join(builds, `runtime-${'aa'.repeat(32)}.json`), JSON.stringify({ digest: `sha256:${'ee'.repeat(32)}`, size: 5 }));

  await t.test('a dry run says what would go, and touches nothing', async () => {
    const { items, bytes } = await shop.json<Collected>('gc', '--dry-run');
    assert.deepEqual(items.map(({ path }) => path).toSorted(), [stray, files['pushed'], ...old].toSorted());
    assert.ok(bytes >= 5000);
    assert.equal(await exists(stray), true);
  });

  await t.test('what it said goes', async () => {
    const { items, bytes } = await shop.json<Collected>('gc');
    assert.equal(items.length, 5);
    assert.ok(bytes >= 5000);
    for (const path of [stray, crashed, ...old, files['pushed'] ?? '']) assert.equal(await exists(path), false, path);
  });

  await t.test('what runs, what may be returned to and every blob stays', async () => {
    assert.deepEqual(await readdir(join(unpacked, 'contents')), standing.contents);
    assert.deepEqual(await readdir(join(unpacked, 'layers')), standing.layers);
    assert.deepEqual(await readdir(join(registry, 'content/blobs/sha256'), { recursive: true }), blobs);
    for (const path of [fresh, files['runtime'] ?? '', files['fresh'] ?? '']) assert.equal(await exists(path), true, path);
    assert.match((await shop.cairn('gc')).stdout, /kept +7 images and layers that run or may be returned to +every blob of the registry\n +freed +0 B/);
  });
});

/** Every file below a folder, but for what a restored home makes anew. */
async function filesBelow(root: string): Promise<string[]> {
  const found = await readdir(root, { recursive: true, withFileTypes: true });
  return found.filter((one) => !one.isDirectory()).map((one) => join(one.parentPath, one.name).slice(root.length + 1)).filter((path) => !path.startsWith('unpacked/')).toSorted();
}

test('a backup is restored to the same point of the log, or not at all', async (t) => {
  const shop = await library(t);
  const { root, data, keys } = shop.home.paths;
  const first = await shop.release({ files: { 'server.js': 'one\n' }, message: 'Start' });
  const second = await shop.release({ files: { 'server.js': 'two\n' }, message: 'Go on' });
  for (const { release } of [first, second]) await shop.promote(release, 'staging');
  const secret = join(keys, 'passphrase');
  await mkdir(join(data, 'staging/shop/orders'), { recursive: true });
  await writeFile(join(data, 'staging/shop/orders/1.json'), '{}', { mode: 0o640 });
  await symlink('1.json', join(data, 'staging/shop/orders/last'));
  const file = join(shop.folder, 'home.tar');
  const other = join(shop.folder, 'other');

  await t.test('it holds everything that is not made again', async () => {
    const { log, files } = await shop.json<{ log: { size: number; root: string }; files: number }>('backup', file);
    assert.ok(log.size > 20 && files > 50);
    assert.equal((await stat(file)).mode & 0o777, 0o600, 'keys are in it');
    await shop.fails(2, 'usage', 'backup', file);
    await shop.fails(2, 'usage', 'backup', join(shop.folder, 'nowhere/home.tar'));
  });

  await t.test('what comes out is the same home, sound by itself', async () => {
    const restored = await shop.json<{ log: { entries: number } }>('restore', file, '--home', other);
    const gone = ['ledger.sqlite-shm', 'ledger.sqlite-wal'];
    assert.deepEqual(await filesBelow(other), (await filesBelow(root)).filter((path) => !gone.includes(path) && !path.startsWith('data/')));
    for (const path of ['keys/passphrase', 'token', 'cairn.json']) assert.deepEqual(await readFile(join(other, path)), await readFile(join(root, path)));
    assert.equal((await stat(join(other, 'keys/passphrase'))).mode & 0o777, 0o600);
    const audited = await shop.cairnAt({ home: other }, 'audit', '--json');
    assert.deepEqual([audited.code, (audited.json as { entries: number }).entries], [0, restored.log.entries]);
  });

  await t.test('a home that is in use is not written over', async () => {
    await shop.fails(6, 'conflict', 'restore', file);
    await shop.fails(6, 'conflict', 'restore', file, '--home', other);
    await shop.fails(2, 'usage', 'restore', join(shop.folder, 'none.tar'), '--home', join(shop.folder, 'new'));
  });

  await t.test('a damaged archive is refused wherever it is damaged, and leaves nothing behind', async () => {
    const bytes = await readFile(file);
    const there = await readdir(shop.folder);
    const damaged = join(shop.folder, 'damaged.tar');
    const blob = bytes.indexOf('registry/content/blobs/sha256');
    const name = bytes.indexOf('token\0');
    const flips = [600, bytes.indexOf('SQLite format 3') + 5000, name, name + 512, bytes.indexOf(Buffer.from([0x1f, 0x8b, 8]), blob) + 12, bytes.lastIndexOf('"sha256"') + 14];
    for (const damage of [...flips.map((at) => bytes.with(at, (bytes[at] ?? 0) ^ 1)), bytes.subarray(0, bytes.byteLength >> 1), bytes.subarray(0, bytes.byteLength - 20_000), Buffer.from('not a tar'), Buffer.alloc(0)]) {
      await writeFile(damaged, damage);
      await shop.fails(4, 'backup-damaged', 'restore', damaged, '--home', join(shop.folder, 'new'));
    }
    await rm(damaged);
    assert.deepEqual(await readdir(shop.folder), there);
  });

  await t.test('a made-up archive writes nothing outside', async () => {
    const evil = join(shop.folder, 'evil.tar');
    const link = { name: 'data/x', type: 'symlink' as const, linkname: shop.folder };
    for (const entries of [[{ name: '../out' }], [{ name: `${shop.folder}/out` }], [link, { name: 'data/x/out' }], [{ name: 'data/a' }, { name: 'data/a/out' }], [{ name: 'unpacked/contents/x' }]]) {
      const archive = pack();
      for (const entry of entries) archive.entry(entry, 'type' in entry ? '' : 'evil');
      archive.finalize();
      await writeFile(evil, await buffer(archive as unknown as AsyncIterable<Buffer>));
      await shop.fails(4, 'backup-damaged', 'restore', evil, '--home', join(shop.folder, 'new'));
      assert.equal(await exists(join(shop.folder, 'out')), false);
    }
    await rm(evil);
  });

  await t.test('data goes along when asked for, and no link of an application brings our keys with it', async () => {
    await symlink(secret, join(data, 'staging/shop/orders/keys'));
    const withData = join(shop.folder, 'data.tar');
    await shop.json('backup', withData, '--data');
    const third = join(shop.folder, 'third');
    await shop.json('restore', withData, '--home', third);
    assert.equal(await readFile(join(third, 'data/staging/shop/orders/1.json'), 'utf8'), '{}');
    assert.equal((await stat(join(third, 'data/staging/shop/orders/1.json'))).mode & 0o777, 0o640);
    assert.equal(await readlink(join(third, 'data/staging/shop/orders/last')), '1.json');
    assert.equal(await readlink(join(third, 'data/staging/shop/orders/keys')), secret, 'the link itself, not what it leads to');
  });

  await t.test('while the journal moves no backup is made of two points', async () => {
    const journal = join(shop.home.paths.runner, 'journal.jsonl');
    // Another text at every reading.
    await symlink('/proc/sys/kernel/random/uuid', journal);
    await shop.fails(6, 'conflict', 'backup', join(shop.folder, 'moving.tar')).finally(() => rm(journal));
    assert.equal(await exists(join(shop.folder, 'moving.tar')), false);
  });

  await t.test('under load every backup is of one point, and holds', async () => {
    let stopped = false;
    const load = (async () => {
      for (let turn = 0; !stopped; turn++) await shop.promote(turn % 2 === 0 ? first.release : second.release, 'staging', { TURN: String(turn) });
    })();
    const points: number[] = [];
    try {
      for (const name of ['a', 'b', 'c']) {
        const { log } = await shop.json<{ log: { size: number } }>('backup', join(shop.folder, `${name}.tar`));
        points.push(log.size);
      }
    } finally {
      stopped = true;
      await load;
    }
    assert.ok((points[0] ?? 0) < (points[2] ?? 0), 'the log grew meanwhile');
    for (const name of ['a', 'b', 'c']) await shop.json('restore', join(shop.folder, `${name}.tar`), '--home', join(shop.folder, `home-${name}`));
  });
});
