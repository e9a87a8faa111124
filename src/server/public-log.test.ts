import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { fixedClock, noFaults, sha256 } from '#core';
import { openLedger, type OpenLedger } from '#ledger';
import { leafHash, readCheckpoint, rootAt } from '#log';
import { generateSigner, spkiOf } from '#sign';
import { publicLog } from './public-log.ts';
import { dayShare, mostPerSecond, mostRequestBytes, Strangers } from './strangers.ts';

const keys = { origin: 'log.example.com', log: generateSigner('ed25519'), time: generateSigner('ed25519') };
const log = { origin: keys.origin, log: keys.log.publicKey, time: keys.time.publicKey };
const stranger = generateSigner('ecdsa');

const asked = (text: string, signer = stranger) => JSON.stringify({
  hashedRekordRequestV002: {
    digest: sha256(text).toString('base64'),
    signature: { content: signer.sign(Buffer.from(text)).toString('base64'), verifier: { publicKey: { rawBytes: spkiOf(signer.publicKey).toString('base64') }, keyDetails: 'PKIX_ECDSA_P256_SHA_256' } },
  },
});

async function served(t: TestContext, { published, today }: { published?: () => Promise<string>; today?: number } = {}): Promise<{ url: string; ledger: OpenLedger; clock: ReturnType<typeof fixedClock>; post: (body: string) => Promise<Response> }> {
  const folder = await mkdtemp(join(tmpdir(), 'cairn-public-'));
  const clock = fixedClock('2026-01-01T00:00:00Z');
  const ledger = await openLedger({ path: join(folder, 'ledger.sqlite'), keys, record: generateSigner('ecdsa'), clock, faults: noFaults });
  const handle = publicLog({ ledger: today === undefined ? ledger : { ...ledger, strangersOfToday: async () => today }, clock, published, sigstore: () => ({ trustedRoot: '{"a":1}', signingConfig: '{"b":2}' }) });
  const server = createServer((incoming, response) => void handle(incoming, response).then((handled) => handled || response.writeHead(418).end()));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(async () => {
    server.closeAllConnections();
    server.close();
    await ledger.close();
    await rm(folder, { recursive: true });
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return { url, ledger, clock, post: (body) => fetch(`${url}/api/v2/log/entries`, { method: 'POST', body }) };
}

test('an entry is answered with exactly 201, and so is the same one again, with the first entry', async (t) => {
  const { post } = await served(t);
  const body = asked('a file');
  const [first, again] = [await post(body), await post(body)];
  assert.deepEqual([first.status, again.status], [201, 201]);
  const answer: unknown = await first.json();
  assert.deepEqual(await again.json(), answer);
  const entry = answer as { logIndex: string; inclusionProof: { checkpoint: { envelope: string } } };
  assert.deepEqual(Object.keys(entry).toSorted(), ['canonicalizedBody', 'inclusionProof', 'integratedTime', 'kindVersion', 'logId', 'logIndex']);
  assert.equal(readCheckpoint(entry.inclusionProof.checkpoint.envelope, log).size, 1);
});

test('what is not an ECDSA P-256 signature over the digest is answered 400 with the reason, and nothing is logged', async (t) => {
  const { post, ledger } = await served(t);
  const wrong = JSON.parse(asked('one')) as { hashedRekordRequestV002: { digest: string } };
  wrong.hashedRekordRequestV002.digest = sha256('two').toString('base64');
  for (const [body, why] of [[JSON.stringify(wrong), /signature/], ['{', /not JSON/], ['{}', /hashedRekordRequestV002/], [JSON.stringify({ dsseRequestV002: {} }), /not known/], [asked('one').replace('PKIX_ECDSA_P256_SHA_256', 'PKIX_ED25519_PH'), /PKIX_ECDSA_P256_SHA_256/]] as const) {
    const answer = await post(body);
    assert.equal(answer.status, 400);
    assert.match(((await answer.json()) as { message: string }).message, why);
  }
  assert.equal(await ledger.checkpoint(), undefined);
});

test('a request that is larger than any is not read to its end, with a length in front or without', async (t) => {
  const { post, url, ledger } = await served(t);
  assert.equal((await post('x'.repeat(mostRequestBytes + 1))).status, 413);
  const status = await new Promise((resolve) => {
    const call = request(`${url}/api/v2/log/entries`, { method: 'POST', headers: { 'transfer-encoding': 'chunked' } }, (response) => resolve(response.statusCode));
    call.on('error', () => {});
    for (let at = 0; at < 40; at++) call.write('x'.repeat(1024));
    call.end();
  });
  assert.equal(status, 413);
  assert.equal(await ledger.checkpoint(), undefined);
});

test("strangers are bounded by the second and by the day, are told when to come again, and statements that count are taken all the same", async (t) => {
  const clock = fixedClock('2026-01-01T00:00:00Z');
  const strangers = new Strangers(clock, dayShare - 2, () => 0);
  assert.equal(strangers.ask(), 0);
  for (let at = 0; at < 2; at++) strangers.added();
  const wait = strangers.ask();
  assert.ok(wait > 0 && wait <= 2, `${wait} s: the bucket fills evenly`);
  clock.advance(wait * 1000);
  assert.equal(strangers.ask(), 0);
  const busy = new Strangers(clock, 0, () => 0);
  for (let at = 0; at < mostPerSecond; at++) assert.equal(busy.ask(), 0);
  assert.equal(busy.ask(), 1);
  assert.equal(new Strangers(clock, 0, () => 100_000).ask(), 1, 'while so many wait for the disk');
  // Over HTTP: the day's share is what the log itself says, so that a restart gives nobody a second one.
  const { post, ledger } = await served(t, { today: dayShare });
  const answer = await post(asked('one too many'));
  assert.equal(answer.status, 429);
  assert.ok(Number(answer.headers.get('retry-after')) >= 1);
  assert.equal(await ledger.checkpoint(), undefined);
});

test('checkpoint and tiles are served as C2SP tlog-tiles has them: full ones for ever, none beyond the checkpoint, never an empty one', async (t) => {
  const { url, post } = await served(t);
  const get = (path: string, headers: Record<string, string> = {}) => fetch(`${url}/${path}`, { headers });
  assert.equal((await get('checkpoint')).status, 404, 'an empty log has none');
  await Promise.all(Array.from({ length: 300 }, (_, at) => post(asked(`entry ${at}`))));
  const note = await get('checkpoint');
  assert.equal(note.headers.get('cache-control'), 'no-cache');
  const { size, root } = readCheckpoint(await note.text(), log);
  assert.equal(size, 300);
  const full = await get('tile/0/000');
  assert.equal(full.headers.get('cache-control'), 'public, max-age=31536000, immutable');
  const hashes = Buffer.from(await full.arrayBuffer());
  assert.equal(hashes.byteLength, 256 * 32);
  const partial = await get('tile/0/001.p/44');
  assert.match(partial.headers.get('cache-control') ?? '', /max-age/);
  assert.doesNotMatch(partial.headers.get('cache-control') ?? '', /immutable/);
  const entries = Buffer.from(await (await get('tile/entries/001.p/44')).arrayBuffer());
  const length = entries.readUInt16BE(0);
  assert.deepEqual(leafHash(entries.subarray(2, 2 + length)), Buffer.from(await partial.arrayBuffer()).subarray(0, 32));
  const tiles = { tile: async (level: number, index: number) => Buffer.from(await (await get(`tile/${level}/00${index}${level === 0 && index === 0 ? '' : level === 0 ? '.p/44' : '.p/1'}`)).arrayBuffer()) };
  assert.deepEqual(await rootAt(tiles, 300), root, 'the tree of what was served is the tree of the checkpoint');
  for (const path of ['tile/0/001', 'tile/0/001.p/45', 'tile/0/002.p/1', 'tile/0/000.p/0', 'tile/0/001.p/256', 'tile/1/000', 'tile/1/000.p/2', 'tile/2/000.p/1', 'tile/entries/001', 'tile/0/0', 'tile/0/x000/000', 'tile/00/000', 'tile/0/000.p/044', 'tile/99/000', 'tile/'])
    assert.equal((await get(path)).status, 404, path);
  const etag = full.headers.get('etag') ?? '';
  assert.equal((await get('tile/0/000', { 'if-none-match': etag })).status, 304);
  assert.equal((await fetch(`${url}/tile/0/000`, { method: 'HEAD' })).headers.get('content-length'), String(256 * 32));
  assert.equal((await fetch(`${url}/checkpoint`, { method: 'POST' })).status, 405);
  assert.equal((await fetch(`${url}/api/v2/log/entries`)).status, 405);
  assert.equal((await get('elsewhere')).status, 418, 'what is not the log is not answered here');
});

test('the checkpoint that is served is the one with the cosignatures that were gathered', async (t) => {
  const { url, post } = await served(t, { published: async () => 'with cosignatures\n' });
  await post(asked('one'));
  assert.equal(await (await fetch(`${url}/checkpoint`)).text(), 'with cosignatures\n');
});

test('the two files of Sigstore are served beside the log', async (t) => {
  const { url } = await served(t);
  assert.deepEqual(await (await fetch(`${url}/sigstore/trusted_root.json`)).json(), { a: 1 });
  assert.deepEqual(await (await fetch(`${url}/sigstore/signing_config.json`)).json(), { b: 2 });
  assert.equal((await fetch(`${url}/sigstore/other.json`)).status, 404);
});
