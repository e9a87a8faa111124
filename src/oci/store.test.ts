import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { test } from 'node:test';
import { digestOf } from '#core';
import { fileStore, memoryStore, type ContentStore } from '#oci';

async function* chunks(...parts: string[]): AsyncGenerator<Uint8Array> {
  for (const part of parts) yield Buffer.from(part);
}

const adapters: Record<string, (folder: string) => ContentStore> = { memory: memoryStore, file: (folder) => fileStore(folder) };

for (const [name, make] of Object.entries(adapters)) {
  async function withStore(run: (store: ContentStore, folder: string) => Promise<void>): Promise<void> {
    const folder = await mkdtemp(join(tmpdir(), 'cairn-store-'));
    try {
      await run(make(folder), folder);
    } finally {
      await rm(folder, { recursive: true });
    }
  }

  test(`${name} store: content comes back under its digest, whole, in part and as a stream`, () =>
    withStore(async (store) => {
      const { digest, size } = await store.write(chunks('cairn', ' of ', 'stones'));
      assert.equal(digest, digestOf('cairn of stones'));
      assert.equal(size, 15);
      assert.equal(await store.size(digest), 15);
      assert.equal((await store.read(digest)).toString(), 'cairn of stones');
      assert.equal((await buffer(await store.stream(digest))).toString(), 'cairn of stones');
      assert.equal((await buffer(await store.stream(digest, { start: 6, end: 7 }))).toString(), 'of');
    }));

  test(`${name} store: absent content is told apart`, () =>
    withStore(async (store) => {
      const digest = digestOf('nothing');
      assert.equal(await store.size(digest), undefined);
      await assert.rejects(store.read(digest), { code: 'not-found' });
      await assert.rejects(store.stream(digest), { code: 'not-found' });
    }));

  test(`${name} store: content under a wrong digest is refused and not kept`, () =>
    withStore(async (store) => {
      await assert.rejects(store.write(chunks('forged'), digestOf('genuine')), { code: 'digest-mismatch' });
      await assert.rejects(
        store.write(chunks('forged'), () => digestOf('genuine')),
        { code: 'digest-mismatch' },
      );
      assert.equal(await store.size(digestOf('genuine')), undefined);
      assert.equal(await store.size(digestOf('forged')), undefined);
    }));

  test(`${name} store: a source that breaks off leaves nothing`, () =>
    withStore(async (store) => {
      async function* broken(): AsyncGenerator<Uint8Array> {
        yield Buffer.from('half');
        throw new Error('cable pulled');
      }
      await assert.rejects(store.write(broken()), /cable pulled/);
      assert.equal(await store.size(digestOf('half')), undefined);
    }));

  test(`${name} store: many writers of one content all succeed`, () =>
    withStore(async (store) => {
      const written = await Promise.all(Array.from({ length: 20 }, () => store.write(chunks('same'), digestOf('same'))));
      assert.ok(written.every(({ digest, size }) => digest === digestOf('same') && size === 4));
      assert.equal((await store.write(Buffer.from('same'))).digest, digestOf('same'));
    }));

  test(`${name} store: content larger than the reader's limit is refused; empty content is content`, () =>
    withStore(async (store) => {
      const { digest } = await store.write(Buffer.from('four'));
      await assert.rejects(store.read(digest, 3), { code: 'malformed-document' });
      assert.equal((await store.read(digest, 4)).toString(), 'four');
      const empty = await store.write(chunks());
      assert.equal((await store.read(empty.digest)).byteLength, 0);
    }));
}

test('file store: changed content is detected, a shortened file is mended by the next write, and no temporary file stays', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'cairn-store-'));
  try {
    const store = fileStore(folder);
    const { digest } = await store.write(Buffer.from('genuine'));
    const path = join(folder, 'blobs', 'sha256', digest.slice(7, 9), digest.slice(7));
    await writeFile(path, 'forged!');
    await assert.rejects(store.read(digest), { code: 'digest-mismatch' });
    await truncate(path, 2);
    await store.write(Buffer.from('genuine'));
    assert.equal((await store.read(digest)).toString(), 'genuine');
    await assert.rejects(store.write(Buffer.from('forged'), digest), { code: 'digest-mismatch' });
    assert.deepEqual(await readdir(join(folder, 'incoming')), []);
  } finally {
    await rm(folder, { recursive: true });
  }
});
