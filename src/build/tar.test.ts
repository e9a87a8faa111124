import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { buffer } from 'node:stream/consumers';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import fc from 'fast-check';
import { extract, type Header } from 'tar-stream';
import { digestOf } from '#core';
import { writeTar, type TarEntry } from '#build';

const file = (path: string, content: Uint8Array, executable = false): TarEntry => ({ path, kind: 'file', executable, size: content.byteLength, open: async function* () { yield content; } });

async function readBack(bytes: Buffer): Promise<{ header: Header; body: Buffer }[]> {
  const found: { header: Header; body: Buffer }[] = [];
  for await (const entry of Readable.from([bytes]).pipe(extract())) found.push({ header: entry.header, body: await buffer(entry) });
  return found;
}

const name = fc.string({ unit: fc.constantFrom('a', 'é', '😀', 'Z', '-', ' '), minLength: 1, maxLength: 160 }).filter((text) => text.trim() === text);
const entry = fc.oneof(
  fc.tuple(name, fc.uint8Array({ maxLength: 1500 }), fc.boolean()).map(([path, body, executable]) => file(path, body, executable)),
  fc.tuple(name, name).map(([path, target]): TarEntry => ({ path, kind: 'link', target })),
  name.map((path): TarEntry => ({ path, kind: 'folder' })),
);

test('what is packed is read back, in the order of bytes, whatever order it was given in', async () => {
  await fc.assert(
    fc.asyncProperty(fc.uniqueArray(entry, { selector: ({ path }) => path, maxLength: 8 }), async (entries) => {
      const bytes = await buffer(writeTar(entries));
      assert.deepEqual(await buffer(writeTar(entries.toReversed())), bytes);
      const found = await readBack(bytes);
      assert.equal(found.length, entries.length);
      for (const one of entries) {
        const match = found.find(({ header }) => header.name.replace(/\/$/, '') === one.path);
        assert.ok(match, one.path);
        assert.deepEqual([match.header.uid, match.header.gid, match.header.mtime?.getTime()], [0, 0, 315_532_800_000]);
        if (one.kind === 'link') assert.equal(match.header.linkname, one.target);
        if (one.kind === 'file') assert.equal(match.body.byteLength, one.size);
      }
    }),
    { numRuns: 100, seed: 11 },
  );
});

test('the bytes of an archive are pinned, and GNU tar reads them', async () => {
  const bytes = await buffer(writeTar([file('app/run', Buffer.from('#!/bin/sh\n'), true), { path: 'app', kind: 'folder' }, { path: `app/${'long'.repeat(40)}`, kind: 'link', target: 'run' }]));
  assert.equal(digestOf(bytes), 'sha256:261b98c765cd6a64d0a1e20cf22127ee39797c3561875496b9466eaead4839e4');
  const listed = execFileSync('tar', ['--utc', '-tvf', '-'], { input: bytes, encoding: 'utf8', env: { PATH: process.env['PATH'], LANG: 'C' } });
  assert.match(listed, /^drwxr-xr-x 0\/0 +0 1980-01-01 00:00 app\/\nlrwxrwxrwx .* -> run\n-rwxr-xr-x 0\/0 +10 1980-01-01 00:00 app\/run\n$/);
});

test('a file that changes its size while it is packed stops the build', async () => {
  const entries = [{ ...file('a', Buffer.from('four')), size: 5 }];
  await assert.rejects(buffer(writeTar(entries)), { code: 'stage-failed' });
});
