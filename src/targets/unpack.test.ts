import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { digestOf } from '#core';
import { unpackLayer } from '#targets';
import { folder, layer, streamOf, unpackTo, type Item } from './fixture.ts';

/** What no archiver would write: a header that lies about its size. */
function rawHeader(name: string, size: number, type: string): Buffer {
  const header = Buffer.alloc(512);
  header.write(name);
  header.write('0000644\0', 100);
  header.writeUInt8(0x80, 124);
  header.writeBigUInt64BE(BigInt(size), 128);
  header.write('        ', 148);
  header.write(type, 156);
  header.write('ustar\x0000', 257, 'latin1');
  header.write(`${header.reduce((sum, byte) => sum + byte, 0).toString(8).padStart(6, '0')}\0 `, 148);
  return header;
}

test('a layer is unpacked read-only, with its links and its executable bits', async (t) => {
  const root = join(await folder(t), 'sha256', 'layer');
  await unpackTo(
    root,
    { name: './app/', type: 'directory', mode: 0o777 },
    { name: 'app/server.js', body: 'serve', mode: 0o4777 },
    { name: 'app/data.json', body: '{}' },
    { name: 'deep/er/file', body: 'x' },
    { name: 'app/hard', type: 'link', linkname: 'app/data.json' },
    { name: 'deep/er/up', type: 'symlink', linkname: '../../app/data.json' },
    { name: 'app/data.json', body: '{"second":true}' },
  );
  assert.equal(((await stat(join(root, 'app/server.js'))).mode & 0o7777).toString(8), '555');
  assert.equal(((await stat(join(root, 'app/data.json'))).mode & 0o7777).toString(8), '444');
  assert.equal(((await stat(join(root, 'app'))).mode & 0o7777).toString(8), '555');
  assert.equal(await readFile(join(root, 'app/hard'), 'utf8'), '{}', 'a later file of the name leaves the hard link as it was');
  assert.equal(await readFile(join(root, 'deep/er/up'), 'utf8'), '{"second":true}');
});

test('bytes that do not have the digest leave nothing behind', async (t) => {
  const parent = await folder(t);
  const bytes = await layer({ name: 'a', body: 'forged' });
  await assert.rejects(unpackLayer(streamOf(bytes), digestOf('genuine'), join(parent, 'layer')), { code: 'digest-mismatch' });
  assert.deepEqual(await readdir(parent), []);
});

test('bytes behind the archive count for the digest', async (t) => {
  const parent = await folder(t);
  const bytes = await layer({ name: 'a', body: 'a' });
  const longer = Buffer.concat([bytes, Buffer.alloc(300_000, 'garbage')]);
  await assert.rejects(unpackLayer(streamOf(longer), digestOf(bytes), join(parent, 'layer')));
  assert.deepEqual(await readdir(parent), []);
});

const attacks: Record<string, Item[]> = {
  'a name that climbs out': [{ name: '../evil', body: 'x' }],
  'a name that climbs out from within': [{ name: 'a/../../evil', body: 'x' }],
  'an absolute name': [{ name: '/etc/evil', body: 'x' }],
  'a link to an absolute path': [{ name: 'l', type: 'symlink', linkname: '/etc' }],
  'a link out of the folder': [{ name: 'a/l', type: 'symlink', linkname: '../../etc' }],
  'links that leave only together': [
    { name: 'deep/a/b/up', type: 'symlink', linkname: '../../..' },
    { name: 'out', type: 'symlink', linkname: 'deep/a/b/up/../../etc' },
  ],
  'links that leave only together, from a deep folder': [
    { name: 'a/b/c/up', type: 'symlink', linkname: '../../..' },
    { name: 'a/b/c/out', type: 'symlink', linkname: 'up/../../etc' },
  ],
  'writing through an earlier link': [
    { name: 'sub', type: 'directory' },
    { name: 'l', type: 'symlink', linkname: 'sub' },
    { name: 'l/evil', body: 'x' },
  ],
  'a file in place of a link': [
    { name: 'l', type: 'symlink', linkname: 'sub' },
    { name: 'l', body: 'x' },
  ],
  'a folder in place of a file': [
    { name: 'a', body: 'x' },
    { name: 'a/', type: 'directory' },
  ],
  'a hard link out of the folder': [{ name: 'h', type: 'link', linkname: '../../etc/passwd' }],
  'a hard link to what the layer does not have': [{ name: 'h', type: 'link', linkname: 'absent' }],
  'a hard link to a link': [
    { name: 'l', type: 'symlink', linkname: 'sub' },
    { name: 'h', type: 'link', linkname: 'l' },
  ],
  'a device': [{ name: 'null', type: 'character-device', devmajor: 1, devminor: 3 }],
  'a disk': [{ name: 'disk', type: 'block-device', devmajor: 8, devminor: 0 }],
  'a hard link to itself': [
    { name: 'a', body: 'x' },
    { name: 'a', type: 'link', linkname: 'a' },
  ],
  'a hard link by an absolute name': [{ name: 'h', type: 'link', linkname: '/etc/passwd' }],
  'a link that climbs behind a name': [{ name: 'l', type: 'symlink', linkname: 'sub/../../etc' }],
  'a link to nothing': [{ name: 'l', type: 'symlink', linkname: '' }],
  'writing through a link by a hard link': [
    { name: 'sub/f', body: 'x' },
    { name: 'l', type: 'symlink', linkname: 'sub' },
    { name: 'l/h', type: 'link', linkname: 'sub/f' },
  ],
  'a folder through a link': [
    { name: 'sub', type: 'directory' },
    { name: 'l', type: 'symlink', linkname: 'sub' },
    { name: 'l/in/', type: 'directory' },
  ],
  'a name longer than any file system takes': [{ name: 'n'.repeat(256), body: 'x' }],
  'a path longer than any file system takes': [{ name: 'deep/'.repeat(700), type: 'directory' }],
  'the folder itself replaced': [{ name: '.', type: 'symlink', linkname: 'a' }],
  'a pipe': [{ name: 'pipe', type: 'fifo' }],
  'a whiteout': [{ name: 'a/.wh.b', body: '' }],
  'a whiteout of a folder': [{ name: '.wh..wh..opq', body: '' }],
};

for (const [what, items] of Object.entries(attacks)) {
  test(`a layer with ${what} is refused and leaves nothing behind`, async (t) => {
    const parent = await folder(t);
    await assert.rejects(unpackTo(join(parent, 'in', 'layer'), ...items), { code: 'malformed-document' });
    assert.deepEqual(await readdir(join(parent, 'in')), []);
    assert.deepEqual(await readdir(parent), ['in']);
  });
}

test('a layer that grows past its limits, a torn one and what is no archive are refused', async (t) => {
  const parent = await folder(t);
  const bomb = await layer({ name: 'zeroes', body: '\0'.repeat(5 << 20) });
  assert.ok(bomb.length < 10_000);
  await assert.rejects(unpackLayer(streamOf(bomb), digestOf(bomb), join(parent, 'a'), { bytes: 1 << 20, entries: 10 }), {
    code: 'malformed-document',
  });
  const torn = bomb.subarray(0, bomb.length - 50);
  await assert.rejects(unpackLayer(streamOf(torn), digestOf(torn), join(parent, 'a')), { code: 'malformed-document' });
  const text = Buffer.from('not an archive');
  await assert.rejects(unpackLayer(streamOf(text), digestOf(text), join(parent, 'a')), { code: 'malformed-document' });
  assert.deepEqual(await readdir(parent), []);
});

test('a layer of very many entries is refused at the limit', async (t) => {
  const parent = await folder(t);
  const header = rawHeader('a/', 0, '5');
  const many = gzipSync(Buffer.concat([...Array.from({ length: 100_001 }, () => header), Buffer.alloc(1024)]));
  const limits = { bytes: 1 << 30, entries: 100_000 };
  await assert.rejects(unpackLayer(streamOf(many), digestOf(many), join(parent, 'a'), limits), { code: 'malformed-document', message: /one more than the 100000/ });
  assert.deepEqual(await readdir(parent), []);
  const allowed = gzipSync(Buffer.concat([header, header, Buffer.alloc(1024)]));
  await unpackLayer(streamOf(allowed), digestOf(allowed), join(parent, 'a'), { ...limits, entries: 2 });
});

test('a size that only the header has is refused before anything is made or kept', async (t) => {
  const parent = await folder(t);
  const terabyte = 2 ** 40;
  for (const [what, header] of [['a file', rawHeader('a', terabyte, '0')], ['a long name', rawHeader('a', 2 ** 30, 'L')], ['attributes', rawHeader('a', 2 ** 30, 'x')]] as const) {
    const bytes = gzipSync(Buffer.concat([header, Buffer.alloc(20 << 20)]));
    const before = process.memoryUsage().rss;
    await assert.rejects(unpackLayer(streamOf(bytes), digestOf(bytes), join(parent, 'a')), { code: 'malformed-document' }, what);
    assert.ok(process.memoryUsage().rss - before < 256 << 20, what);
  }
  assert.deepEqual(await readdir(parent), []);
});

test('a source that breaks keeps its own error', async (t) => {
  const bytes = await layer({ name: 'a', body: 'a' });
  async function* broken(): AsyncGenerator<Uint8Array> {
    yield bytes.subarray(0, 10);
    await once(AbortSignal.timeout(1), 'abort');
    throw new Error('the network went away');
  }
  await assert.rejects(unpackLayer(broken(), digestOf(bytes), join(await folder(t), 'a')), { message: 'the network went away' });
});
