import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtemp, open, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { test, type TestContext } from 'node:test';
import { pack, type Header } from 'tar-stream';
import { CairnError } from '#core';
import { readCapsule } from './capsule-archive.ts';

const digest = `sha256:${'a'.repeat(64)}`;
const about = { kind: 'cairn-capsule', version: 1, cairn: '0', created: '2026-01-01T00:00:00Z', origin: 'log', application: 'shop', release: digest, checkpoint: { size: 1, root: 'b'.repeat(64) }, without: [] };

interface Entry {
  readonly header: Partial<Header> & { name: string };
  readonly body?: string;
}

const file = (name: string, body = name): Entry => ({ header: { name }, body });

async function tar(entries: readonly Entry[]): Promise<Buffer> {
  const archive = pack();
  for (const { header, body } of entries) archive.entry(header, body ?? '');
  archive.finalize();
  return buffer(archive);
}

/** A manifest of those entries, as one who made them would write it. */
function manifest(entries: readonly Entry[], more: object = {}): Entry {
  const files = entries.map(({ header, body = '' }) => ({ path: header.name, kind: 'file', mode: 0o644, size: Buffer.byteLength(body), sha256: createHash('sha256').update(body).digest('hex') }));
  return file('manifest.json', JSON.stringify({ ...about, ...more, files }));
}

async function folderOf(t: TestContext): Promise<string> {
  const folder = await mkdtemp('/tmp/cairn-c-');
  t.after(() => rm(folder, { recursive: true }));
  return folder;
}

async function refuses(t: TestContext, bytes: Uint8Array, why: RegExp): Promise<void> {
  const path = join(await folderOf(t), 'capsule.tar');
  await writeFile(path, bytes);
  await assert.rejects(readCapsule(path), (error) => error instanceof CairnError && error.code === 'capsule-damaged' && error.context['reason'] === 'capsule-damaged' && why.test(error.message));
}

const good = [file('README.md', 'read'), file('evidence/00000003-sbom.sigstore.json'), file('proofs/checkpoint')];

test('a capsule is read as it was written', async (t) => {
  const path = join(await folderOf(t), 'capsule.tar');
  await writeFile(path, await tar([...good, manifest(good)]));
  const read = await readCapsule(path);
  assert.deepEqual([...read.files.keys()], good.map(({ header }) => header.name));
  assert.equal(read.about.application, 'shop');
});

for (const name of ['../outside', '/etc/passwd', 'evidence/../../x', 'evidence//x', './README.md', 'evidence/.hidden', 'evidence/x\u001b[2J', 'evidence/x y', 'a/b/c/d', 'evidence\\x', '']) {
  test(`a name that leads elsewhere or hides something is refused: ${JSON.stringify(name)}`, async (t) => {
    const entries = [...good, file(name, 'x')];
    await refuses(t, await tar([...entries, manifest(entries)]), /does not belong in a capsule/);
  });
}

test('one name twice is refused, whichever of the two the manifest means', async (t) => {
  const entries = [...good, file('README.md', 'other')];
  await refuses(t, await tar([...entries, manifest(good)]), /stands in it twice/);
  await refuses(t, await tar([...good, manifest([...good, ...good])]), /names a file twice/);
});

for (const [type, more] of [['symlink', { linkname: '/etc/passwd' }], ['link', { linkname: 'README.md' }], ['directory', {}], ['fifo', {}], ['character-device', {}]] as const) {
  test(`a ${type} is refused`, async (t) => {
    await refuses(t, await tar([...good, { header: { name: 'evidence/x', type, ...more } }, manifest(good)]), new RegExp(`is a ${type}`));
  });
}

test('an archive that was cut is refused, wherever it was cut', async (t) => {
  const whole = await tar([...good, manifest(good)]);
  // The last 1024 bytes are the zeros that end it.
  for (let at = 100; at < whole.byteLength - 1024; at += 317) await refuses(t, whole.subarray(0, at), /manifest|end|tar/i);
  await refuses(t, Buffer.alloc(0), /ends before its manifest/);
});

test('a file that was altered, left out, or added is refused', async (t) => {
  const entry = manifest(good);
  await refuses(t, await tar([file('README.md', 'raed'), ...good.slice(1), entry]), /is not the file that its manifest names/);
  await refuses(t, await tar([...good.slice(1), entry]), /"README.md" is missing/);
  await refuses(t, await tar([...good, file('evidence/more'), entry]), /which its manifest does not name/);
  await refuses(t, await tar([...good, entry, file('evidence/more')]), /behind its manifest/);
  await refuses(t, await tar(good), /ends before its manifest/);
});

test('a manifest that is none of a capsule is refused', async (t) => {
  for (const more of [{ kind: 'cairn-backup' }, { version: 2 }, { more: 1 }, { release: 'sha256:x' }, { checkpoint: { size: 0, root: '' } }]) await refuses(t, await tar([...good, manifest(good, more)]), /manifest is not one of a capsule/);
  await refuses(t, await tar([...good, file('manifest.json', '{')]), /is not JSON/);
  await refuses(t, await tar([...good, file('manifest.json', '{"files":1}')]), /does not list its files/);
});

test('an entry that says it has 10 GB is refused before a byte of it is read', async (t) => {
  const whole = await tar([...good, manifest(good)]);
  const header = Buffer.from(whole.subarray(0, 512));
  header.write('evidence/large'.padEnd(100, '\0'), 0, 'latin1');
  header.write(`${(10_000_000_000).toString(8).padStart(12, '0')}`.slice(0, 12), 124, 'latin1');
  header.fill(' ', 148, 156);
  header.write(`${[...header].reduce((sum, byte) => sum + byte, 0).toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  const start = performance.now();
  await refuses(t, Buffer.concat([header, whole]), /says that it has 10000000000 bytes/);
  assert.ok(performance.now() - start < 2000);
});

test('a sparse archive of 10 GB is refused by its size', async (t) => {
  const path = join(await folderOf(t), 'capsule.tar');
  await writeFile(path, await tar([...good, manifest(good)]));
  await truncate(path, 10_000_000_000);
  const start = performance.now();
  await assert.rejects(readCapsule(path), (error) => error instanceof CairnError && /more than the \d+ that are read/.test(error.message));
  assert.ok(performance.now() - start < 2000);
});

test('a pipe, a folder and a file that is not there are no capsules, and nobody waits for them', async (t) => {
  const folder = await folderOf(t);
  execFileSync('mkfifo', [join(folder, 'pipe')]);
  for (const name of ['pipe', '.', 'missing']) await assert.rejects(readCapsule(join(folder, name)), (error) => error instanceof CairnError && error.code === 'usage' && error.fix !== undefined);
});

test('what is no archive at all is refused', async (t) => {
  await refuses(t, Buffer.from('hello'.repeat(1000)), /./);
  const urandom = await open('/dev/urandom');
  const { buffer: noise } = await urandom.read(Buffer.alloc(8192), 0, 8192, null);
  await urandom.close();
  await refuses(t, noise, /./);
  await refuses(t, await readFile(process.execPath).then((bytes) => bytes.subarray(0, 65536)), /./);
});
