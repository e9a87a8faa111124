import assert from 'node:assert/strict';
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { parse, stringify } from 'yaml';
import { parsePredicate } from '#attest';
import { CairnError } from '#core';
import { loadServerKeys } from '#home';
import { appendLeaves, consistencyProof, cosignedAt, formatCheckpoint, leafHash, parseNote, parseVkey, readCheckpoint, rootAt, type TileReader } from '#log';
import type { Policy } from '#policy';
import { library, type Library } from '../support/library.ts';
import { Machine, runCairn } from '../support/machine.ts';
import { witnessFor, type RunningWitness } from '../support/witness.ts';

// A log, its witnesses and its clients, each a process or a folder of its own, and what happens when one of them lies.

const wanting = (threshold: number, witnesses: readonly RunningWitness[]) => (genesis: Policy): Policy => ({
  ...genesis,
  witnesses: witnesses.map(({ entry }) => entry),
  environments: genesis.environments.map((one) => ({ ...one, rules: [...one.rules, { kind: 'witnessed', threshold, blocksRollback: false }] })),
});

const trustFile = (shop: Library) => join(shop.repository, 'cairn.trust.json');

test('two witnesses see the log, a release is let in by what they saw, and verify counts them', async (t) => {
  const witnesses = [await witnessFor(t, 'one.example.com'), await witnessFor(t, 'two.example.com')];
  const shop = await library(t, wanting(2, witnesses));
  for (const one of witnesses) await one.up({ logs: [trustFile(shop)] });
  const { release } = await shop.release({ files: { 'server.js': 'one\n' }, message: 'Start' });
  const moved = await shop.promote(release, 'staging');
  assert.equal(moved.revision.state, 'confirmed');
  const verdict = await shop.ledger.verdictOf(moved.operation);
  assert.ok(verdict !== undefined);
  const { facts, rules } = parsePredicate('verdict', verdict.statement)['https://cairn.internal/verdict/v1'];
  assert.deepEqual(facts?.witnessed?.witnesses, ['one', 'two']);
  assert.match(rules.find(({ rule }) => rule === 'witnessed')?.found ?? '', /2 of 2 witnesses/);

  const verified = await shop.json<{ witnesses: { name: string; size: number }[] }>('verify', release);
  assert.deepEqual(verified.witnesses.map(({ name }) => name), ['one', 'two']);
  assert.match((await shop.cairn('verify', release)).stdout, /witnesses +2 of 2 have seen all of it/);
  const status = await shop.json<{ witnesses: { name: string; state: string }[] }>('status');
  assert.deepEqual(status.witnesses.map(({ name, state }) => `${name} ${state}`), ['one cosigned', 'two cosigned']);

  const shown = await fetch(`${shop.url}/checkpoint`).then((answer) => answer.text());
  for (const { vkey } of witnesses) assert.ok(cosignedAt(parseNote(shown), parseVkey(vkey)), 'the checkpoint carries both cosignatures');

  await t.test('a capsule carries what they signed, to be counted with the network gone', async () => {
    const path = join(shop.folder, 'release.capsule.tar');
    await shop.json('audit', '--capsule', path, release);
    const elsewhere = await mkdtemp('/tmp/cairn-e-');
    t.after(() => rm(elsewhere, { recursive: true }));
    await cp(trustFile(shop), join(elsewhere, 'cairn.trust.json'));
    const offline = await runCairn(elsewhere, { ...shop.environment, CAIRN_HOME: join(elsewhere, 'nothing') }, ['verify', '--capsule', path, '--json']);
    assert.deepEqual([offline.code, (offline.json as { witnesses?: { name: string }[] }).witnesses?.map(({ name }) => name)], [0, ['one', 'two']], offline.stdout + offline.stderr);
  });

  await t.test('one that is away holds up no commit; the promotion says who it is, and goes through when it is back', async () => {
    await witnesses[1]?.down();
    const next = await shop.release({ files: { 'server.js': 'two\n' }, message: 'Go on' });
    const error = await shop.promote(next.release, 'staging').then(() => assert.fail('it was let in'), (thrown: unknown) => thrown);
    assert.ok(error instanceof CairnError && error.code === 'refused', String(error));
    const refused = (error.context['rules'] as { rule: string; cause?: string; nearest: string | null; found: string }[]).find(({ rule }) => rule === 'witnessed');
    assert.deepEqual([refused?.cause, refused?.found], ['unreachable', '1 of 2 witnesses (one)']);
    assert.match(refused?.nearest ?? '', /^two is unreachable: does not answer: ECONNREFUSED/);
    const { context } = await shop.fails(4, 'verification-failed', 'verify', next.release);
    assert.equal(context['reason'], 'not-witnessed');
    await witnesses[1]?.up();
    assert.equal((await shop.promote(next.release, 'staging')).revision.state, 'confirmed');
  });

  await t.test('going back asks nobody', async () => {
    for (const one of witnesses) await one.down();
    const start = performance.now();
    assert.equal((await shop.rollback('staging')).revision.state, 'confirmed');
    assert.ok(performance.now() - start < 1000);
  });
});

test('a witness that is killed between remembering and answering is asked again, and never vouches for two histories', async (t) => {
  const witness = await witnessFor(t, 'one.example.com');
  const shop = await library(t, wanting(1, [witness]));
  const { release } = await shop.release({ files: { 'server.js': 'one\n' }, message: 'Start' });
  // Each point of the one request: before and after it is written, committed and answered.
  for (const faultAt of [1, 2, 3, 4]) {
    const { ended } = await witness.up({ logs: [trustFile(shop)], faultAt });
    await shop.promote(release, 'staging').catch((error: unknown) => assert.ok(error instanceof CairnError && error.code === 'refused', String(error)));
    await ended;
  }
  await witness.up();
  assert.equal((await shop.promote(release, 'staging')).revision.state, 'confirmed');
  const { size = 0, note = '' } = (await shop.ledger.checkpoint()) ?? {};
  const seen = await fetch(`${witness.url}/add-checkpoint`, { method: 'POST', body: `old 0\n\n${note}` });
  assert.equal(seen.status, 409);
  assert.ok(Number(await seen.text()) <= size);
});

/** What whoever has the log's keys can do: another history, signed as it must be. It differs from the true one from entry `from` on and is `more` entries longer. */
async function forgery(shop: Library, from: number, more: number) {
  const { size: entries = 0, note: newest = '' } = (await shop.ledger.checkpoint()) ?? {};
  const keys = await loadServerKeys(shop.home.paths.keys, ['staging', 'production']);
  const own = (await shop.ledger.bodies(0, entries)).map(leafHash).slice(0, from);
  const forged = Array.from({ length: entries + more - from }, (_, at) => leafHash(Buffer.from(`forged ${at}`)));
  const tiles = new Map<string, Buffer>();
  const tree: TileReader = { tile: async (level, index) => tiles.get(`${level}/${index}`) };
  for (const { level, index, hashes } of await appendLeaves(tree, 0, [...own, ...forged])) tiles.set(`${level}/${index}`, hashes);
  const size = entries + more;
  const { time } = readCheckpoint(newest, shop.log);
  return { size, tree, note: formatCheckpoint({ origin: shop.home.settings.origin, log: keys.log, time: keys.time }, size, await rootAt(tree, size), time + 60) };
}

/** The server, as it shows itself to one client: everything is the true one's but the log. */
async function lyingServer(t: TestContext, shop: Library, { size, tree, note }: Awaited<ReturnType<typeof forgery>>): Promise<number> {
  const server = createServer((request, response) => {
    const url = new URL(request.url ?? '/', shop.url);
    const json = (value: unknown) => response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(value));
    const through = async () => {
      const answer = await fetch(url, { headers: { authorization: request.headers.authorization ?? '', accept: request.headers.accept ?? '*/*' } });
      const bytes = Buffer.from(await answer.arrayBuffer());
      if (url.pathname === '/api/v1/info') return json({ ...(JSON.parse(bytes.toString()) as object), checkpoint: { size, note } });
      const kept = ['content-type', 'docker-content-digest'].flatMap((name) => (answer.headers.has(name) ? [[name, answer.headers.get(name) ?? '']] : []));
      return response.writeHead(answer.status, Object.fromEntries(kept) as Record<string, string>).end(bytes);
    };
    const lie = async () => {
      const [, level, index] = /^\/api\/v1\/log\/tiles\/(\d+)\/(\d+)$/.exec(url.pathname) ?? [];
      if (level !== undefined) return response.writeHead(200).end(await tree.tile(Number(level), Number(index)));
      if (url.pathname !== '/api/v1/log/consistency') return through();
      const proof = await consistencyProof(tree, Number(url.searchParams.get('from')), Number(url.searchParams.get('to')));
      return json(proof.map((hash) => hash.toString('base64')));
    };
    lie().catch(() => response.writeHead(500, { 'content-type': 'application/json' }).end('{"error":{"code":"not-found","message":"no","fix":null,"context":{},"retryable":false}}'));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', () => resolve()));
  t.after(() => { server.closeAllConnections(); server.close(); });
  return (server.address() as AddressInfo).port;
}

interface Kept {
  readonly evidence: readonly { readonly file: string; readonly misdeeds: readonly { readonly signer: string; readonly reason: string }[] }[];
}

test('a client that has seen the log refuses another history, and what it keeps proves it to who was not there, with the network gone', async (t) => {
  const shop = await library(t);
  const { release } = await shop.release({ files: { 'server.js': 'one\n' }, message: 'Start' });
  assert.equal((await shop.cairn('verify', release)).code, 0);
  assert.deepEqual((await shop.json<Kept>('ledger', 'evidence')).evidence, []);
  const cases = [['log-fork', await forgery(shop, 3, 0)], ['log-rewrite', await forgery(shop, 3, 4)]] as const;
  for (const [reason, forged] of cases) {
    const port = await lyingServer(t, shop, forged);
    const ran = await shop.cairnAt({ port }, 'verify', release, '--json');
    const { error } = ran.json as { error: { code: string; context: Record<string, unknown> } };
    assert.deepEqual([ran.code, error.code, error.context['reason']], [4, 'verification-failed', reason]);
    assert.equal((await shop.cairn('verify', release)).code, 0, 'the true log is followed on');

    // Somebody else: another folder, no home, no server; the file came by mail.
    const elsewhere = await mkdtemp('/tmp/cairn-e-');
    t.after(() => rm(elsewhere, { recursive: true }));
    await cp(trustFile(shop), join(elsewhere, 'cairn.trust.json'));
    await cp(String(error.context['evidence']), join(elsewhere, 'evidence.json'));
    const offline = { ...shop.environment, CAIRN_HOME: join(elsewhere, 'nothing') };
    const checked = await runCairn(elsewhere, offline, ['ledger', 'evidence', 'evidence.json', '--json']);
    assert.equal(checked.code, 0, checked.stdout + checked.stderr);
    assert.deepEqual((checked.json as Kept).evidence[0]?.misdeeds.map((one) => `${one.signer} ${one.reason}`), [`${shop.home.settings.origin} ${reason}`]);
    assert.match((await runCairn(elsewhere, offline, ['ledger', 'evidence', 'evidence.json'])).stdout, new RegExp(`proves .*(signed).* ${reason}`));

    const bytes = await readFile(join(elsewhere, 'evidence.json'), 'utf8');
    await writeFile(join(elsewhere, 'evidence.json'), bytes.replace(/\\n(\d+)\\n/, (_, size: string) => `\\n${Number(size) + 1}\\n`));
    assert.equal((await runCairn(elsewhere, offline, ['ledger', 'evidence', 'evidence.json'])).code, 4, 'changed, it proves nothing');
  }
  assert.equal((await shop.json<Kept>('ledger', 'evidence')).evidence.length, 2);
});

test('a log that shows one tree to its witness and another to a client that never saw it is found out by the client', async (t) => {
  const witness = await witnessFor(t, 'one.example.com');
  const shop = await library(t, wanting(1, [witness]));
  await witness.up({ logs: [trustFile(shop)] });
  const { release } = await shop.release({ files: { 'server.js': 'one\n' }, message: 'Start' });
  await shop.json('verify', release);
  const remembered = join(shop.home.paths.known, `${shop.home.settings.origin}.checkpoint`);
  for (const forged of [await forgery(shop, 3, 0), await forgery(shop, 3, 5)]) {
    await rm(remembered);
    const ran = await shop.cairnAt({ port: await lyingServer(t, shop, forged) }, 'verify', release, '--json');
    const { error } = ran.json as { error: { code: string; context: Record<string, unknown> } };
    assert.deepEqual([ran.code, error.code], [4, 'verification-failed'], ran.stdout);
    assert.match(String(error.context['reason']), /^log-(fork|rewrite)$/);
    assert.ok((await readFile(String(error.context['evidence']))).byteLength > 0);
  }
});

test('audit keeps what an intruder who rewrote the ledger on the disk cannot take back', async (t) => {
  const shop = await library(t);
  const { release } = await shop.release({ files: { 'server.js': 'one\n' }, message: 'Start' });
  await shop.json('verify', release);
  const forged = await forgery(shop, 3, 0);
  await writeFile(join(shop.home.paths.known, `${shop.home.settings.origin}.checkpoint`), forged.note);
  const { context } = await shop.fails(4, 'verification-failed', 'audit');
  assert.match(JSON.stringify(context['findings']), /the log forked: .*cairn ledger evidence/);
  assert.deepEqual((await shop.json<Kept>('ledger', 'evidence')).evidence.map(({ misdeeds }) => misdeeds.map(({ reason }) => reason)), [['log-fork']]);
});

test('a machine as it is really run: the policy takes a witness in, a restart forgets nothing, and a new key of the log must be told to it', async (t) => {
  const witness = await witnessFor(t, 'one.example.com');
  const machine = await Machine.make(t);
  const ok = async (...parameters: string[]) => {
    const ran = await machine.cairn(...parameters);
    assert.equal(ran.code, 0, `cairn ${parameters.join(' ')}: ${ran.stdout}${ran.stderr}`);
    return ran;
  };
  const shown = async () => parseNote(await fetch(`${machine.url}/checkpoint`).then((answer) => answer.text()));
  const cosigned = async () => {
    for (let tries = 0; tries < 100 && cosignedAt(await shown(), parseVkey(witness.vkey)) === undefined; tries++) await sleep(50);
    assert.ok(cosignedAt(await shown(), parseVkey(witness.vkey)), 'the newest checkpoint is cosigned');
  };
  await machine.init();
  await machine.startUp();
  const trust = join(machine.repository, 'cairn.trust.json');
  await witness.up({ logs: [trust] });
  const draft = parse((await ok('policy', 'show', '--yaml')).stdout) as { witnesses?: unknown; environments: { rules: unknown[] }[] };
  draft.witnesses = [witness.entry];
  for (const one of draft.environments) one.rules.push({ kind: 'witnessed', threshold: 1, blocksRollback: false });
  await writeFile(join(machine.folder, 'policy.yaml'), stringify(draft));
  await ok('policy', 'propose', join(machine.folder, 'policy.yaml'));
  const release = await machine.release();
  await ok('promote', release, 'staging');
  await ok('verify', release);
  await cosigned();

  await t.test('after a restart the cosignature is there without asking', async () => {
    await machine.stop();
    await witness.down();
    await machine.startUp();
    assert.ok(cosignedAt(await shown(), parseVkey(witness.vkey)));
  });
  await t.test('a log with a new key is witnessed again when its witness was given the new trust file', async () => {
    await witness.up();
    await ok('key', 'rotate', 'log');
    // What it saw before, under the key before, it has seen; what comes now is another key's.
    await ok('verify', release);
    let status = '';
    for (let tries = 0; tries < 100 && !status.includes('does not trust the key'); tries++) status = (await ok('status')).stdout;
    assert.match(status, /witness +one +unreachable: does not trust the key that this log signs with now/);
    await witness.down();
    await witness.up({ logs: [trust] });
    await ok('verify', release);
    await cosigned();
  });
});
