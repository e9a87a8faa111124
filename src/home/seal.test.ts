import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { loadSealer } from './seal.ts';

async function keys(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'cairn-seal-'));
  t.after(() => rm(folder, { recursive: true }));
  return folder;
}

test('what is sealed opens with the key of its machine, later too, and reads as nothing without it', async (t) => {
  const folder = await keys(t);
  const plain = Buffer.from('DB_URL=postgres://ada:hunter2@db');
  const sealed = (await loadSealer(folder)).seal(plain);
  assert.doesNotMatch(sealed.toString('latin1'), /hunter2/);
  assert.deepEqual((await loadSealer(folder)).open(sealed), plain);
  assert.notDeepEqual((await loadSealer(folder)).seal(plain), sealed);
  const other = await loadSealer(await keys(t));
  assert.throws(() => other.open(sealed), { code: 'storage' });
});

test('a changed byte, anywhere, is noticed', async (t) => {
  const sealer = await loadSealer(await keys(t));
  const sealed = sealer.seal(Buffer.from('secret'));
  for (let at = 0; at < sealed.byteLength; at++) {
    const changed = Buffer.from(sealed);
    changed[at] = (changed[at] as number) ^ 1;
    assert.throws(() => sealer.open(changed), { code: 'storage' }, `byte ${at}`);
  }
  for (const length of [0, 1, 28]) assert.throws(() => sealer.open(sealed.subarray(0, length)), { code: 'storage' });
});

test('made by many at once it is one key, for its owner alone', async (t) => {
  const folder = await keys(t);
  const sealers = await Promise.all(Array.from({ length: 8 }, () => loadSealer(folder)));
  const sealed = sealers[0]?.seal(Buffer.from('one')) as Buffer;
  for (const sealer of sealers) assert.equal(sealer.open(sealed).toString(), 'one');
  assert.deepEqual(await readdir(folder), ['seal.key']);
  assert.equal((await stat(join(folder, 'seal.key'))).mode & 0o777, 0o600);
});

test('a damaged key is told, never replaced', async (t) => {
  const folder = await keys(t);
  await writeFile(join(folder, 'seal.key'), 'short');
  await assert.rejects(loadSealer(folder), { code: 'storage' });
});
