import assert from 'node:assert/strict';
import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { join } from 'node:path';
import { test } from 'node:test';
import { sha256 } from '#core';
import { loadServerKeys } from '#home';
import { formatCheckpoint, readCheckpoint, tilePath } from '#log';
import { verifierOf, parseTrustFile, currentTrust } from '#verify';
import { library } from '../support/library.ts';

// The log as people and other tools ask it: proofs in files, a static tree that grows, a key that changes.

interface Proof {
  readonly index: number;
  readonly size: number;
  readonly proof: string;
}

test('an entry is proven by its number or its statement, in a text that checks with the server away', async (t) => {
  const shop = await library(t);
  const { release } = await shop.release({ files: { 'server.js': '// one\n' }, message: 'one' });
  const [logged] = await shop.ledger.since(3, 1);
  const byNumber = await shop.json<Proof>('ledger', 'prove', '3');
  assert.deepEqual(await shop.json('ledger', 'prove', logged?.digest ?? ''), byNumber);
  assert.match(byNumber.proof, /^c2sp\.org\/tlog-proof@v1\nextra [A-Za-z0-9+/=]+\nindex 3\n/);
  const file = join(shop.repository, 'entry.tlog-proof');
  await writeFile(file, byNumber.proof);
  const away = { port: 1 };
  const checked = await shop.cairnAt(away, 'ledger', 'prove', '--check', 'entry.tlog-proof', '--json');
  assert.equal(checked.code, 0, checked.stdout);
  assert.deepEqual(checked.json, byNumber);
  for (const [from, to] of [['index 3', 'index 1'], [/\n([A-Za-z0-9+/]{43}=)\n/, '\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n'], [/extra .{40}/, `extra ${Buffer.from('{"apiVersion":"0.0.1","kind":"').toString('base64')}`]] as const) {
    await writeFile(file, byNumber.proof.replace(from, to));
    await shop.fails(4, 'verification-failed', 'ledger', 'prove', '--check', 'entry.tlog-proof');
  }
  await writeFile(file, 'nonsense');
  await shop.fails(4, 'malformed-document', 'ledger', 'prove', '--check', 'entry.tlog-proof');
  await shop.fails(6, 'not-found', 'ledger', 'prove', '9999');
  await shop.fails(6, 'not-found', 'ledger', 'prove', release);
  await shop.fails(2, 'usage', 'ledger', 'prove');
});

test('an export is gone on with: what is there stays as it is, and only what is new is written', async (t) => {
  const shop = await library(t);
  const folder = join(shop.folder, 'static');
  const first = await shop.json<{ size: number; added: number }>('ledger', 'export', folder);
  assert.equal(first.added, first.size);
  for (let at = 0; at < 3; at++) await shop.release({ files: { 'server.js': `// ${at}\n` }, message: `${at}` });
  const second = await shop.json<{ size: number; added: number }>('ledger', 'export', folder);
  assert.equal(second.added, second.size - first.size);
  const checkpoint = readCheckpoint(await readFile(join(folder, 'checkpoint'), 'utf8'), shop.log);
  assert.equal(checkpoint.size, second.size);
  const served = await fetch(`${shop.url}/${tilePath('entries', 0, second.size)}`);
  assert.deepEqual(await readFile(join(folder, tilePath('entries', 0, second.size))), Buffer.from(await served.arrayBuffer()));
  // One of another history, which this log's key has signed too, is left as it is.
  const keys = await loadServerKeys(shop.home.paths.keys, ['staging', 'production']);
  for (const size of [second.size - 1, second.size + 100]) {
    await writeFile(join(folder, 'checkpoint'), formatCheckpoint({ origin: shop.log.origin, log: keys.log, time: keys.time }, size, sha256('another tree'), checkpoint.time));
    await shop.fails(6, 'conflict', 'ledger', 'export', folder);
  }
  await writeFile(join(folder, 'checkpoint'), checkpoint.note);
  await writeFile(join(folder, 'checkpoint'), (await readFile(join(folder, 'checkpoint'), 'utf8')).replace('\n', '\n9'));
  const before = await readdir(folder, { recursive: true });
  await shop.fails(4, 'verification-failed', 'ledger', 'export', folder);
  assert.deepEqual(await readdir(folder, { recursive: true }), before);
});

test("the log gets another key: what was proven before and after verifies, a checkpoint under the retired key beyond its size does not, and clients follow the chain", async (t) => {
  const shop = await library(t);
  const before = await shop.release({ files: { 'server.js': '// one\n' }, message: 'one' });
  await shop.json('verify', before.release);
  const [oldLog, { size, note: lastOfOld } = { size: 0, note: '' }] = [shop.log, await shop.ledger.checkpoint()];
  const rotated = await shop.json<{ version: number; retired: { size: number }; file: string }>('key', 'rotate', 'log');
  assert.deepEqual([rotated.version, rotated.retired.size, rotated.file], [2, size, 'cairn.trust.json']);
  const after = await shop.release({ files: { 'server.js': '// two\n' }, message: 'two' });
  for (const { release } of [before, after]) await shop.json('verify', release);
  await shop.json('audit');
  const trust = currentTrust(parseTrustFile(await readFile(join(shop.repository, 'cairn.trust.json'))));
  assert.equal(readCheckpoint(lastOfOld, verifierOf(trust)).size, size);
  const newest = (await shop.ledger.checkpoint())?.note ?? '';
  assert.throws(() => readCheckpoint(newest, oldLog), { code: 'verification-failed' });
  // A file that was made on another machine before: it is brought up to the log, and signed for nothing anew.
  await writeFile(join(shop.repository, 'cairn.trust.json'), JSON.stringify({ genesis: JSON.parse(await readFile(shop.home.paths.trust, 'utf8')), rotations: [] }));
  await shop.fails(4, 'trust-changed', 'verify', after.release);
  await rm(join(shop.home.paths.known, `${trust.origin}.trust`));
  assert.deepEqual(await shop.json('key', 'rotate', 'log'), { ...rotated, followed: true });
  assert.deepEqual(currentTrust(parseTrustFile(await readFile(join(shop.repository, 'cairn.trust.json')))), trust);
  await shop.json('verify', after.release);
  await shop.json('backup', 'after.tar');
  await shop.json('restore', 'after.tar', '--home', join(shop.folder, 'restored'));
  const root = await (await fetch(`${shop.url}/sigstore/trusted_root.json`)).json() as { tlogs: { publicKey: { validFor: { start: string; end?: string } } }[] };
  assert.equal(root.tlogs.length, 2);
  assert.equal(root.tlogs[0]?.publicKey.validFor.end, root.tlogs[1]?.publicKey.validFor.start);
});

test('the log is there for everybody on this machine without a token, and for no page in a browser that speaks in another name', async (t) => {
  const shop = await library(t);
  const ask = (path: string, headers: Record<string, string>, method = 'GET') =>
    new Promise((resolve, reject) => {
      const call = request(`${shop.url}${path}`, { method, headers }, (response) => response.resume().once('end', () => resolve(response.statusCode)));
      call.once('error', reject).end(method === 'POST' ? '{}' : undefined);
    });
  for (const [path, method, answer] of [['/checkpoint', 'GET', 200], ['/sigstore/trusted_root.json', 'GET', 200], ['/api/v2/log/entries', 'POST', 400]] as const) {
    assert.equal(await ask(path, {}, method), answer);
    for (const headers of [{ host: 'evil.example' }, { origin: 'http://evil.example' }] as Record<string, string>[]) assert.equal(await ask(path, headers, method), 403, `${path} ${JSON.stringify(headers)}`);
  }
});
