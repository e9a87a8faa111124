import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test, type TestContext } from 'node:test';
import { bundleFromJSON } from '@sigstore/bundle';
import { TrustedRoot } from '@sigstore/protobuf-specs';
import { toSignedEntity, toTrustMaterial, Verifier } from '@sigstore/verify';
import { createPublicKey } from 'node:crypto';
import { envelopeDigest, makeStatement, pae, payloadOf, predicateTypes, provenance, signEnvelope, subjectOf, verificationSummary, type Request, type Statement } from '#attest';
import { digestOf, fixedClock, noFaults, type Digest } from '#core';
import { openLedger, openReader, type OpenLedger } from '#ledger';
import { entryBody, trustedRoot } from '#log';
import { contentHash, type SignedStatement } from '#release';
import { generateSigner, keyHint, publicKeyPem, spkiOf, type Signer } from '#sign';
import { verifyBundle } from '#verify';

const application = 'shop';
const environment = 'production';
const person = generateSigner('ecdsa');
const record = generateSigner('ecdsa');
const keys = { origin: 'log.example.com', log: generateSigner('ed25519'), time: generateSigner('ed25519') };
const verifier = { origin: keys.origin, log: keys.log.publicKey, time: keys.time.publicKey };
const clock = fixedClock('2026-01-01T00:00:00Z');
const spki = (signer: Signer) => spkiOf(signer.publicKey).toString('base64');

async function ledgerAt(t: TestContext): Promise<{ path: string; ledger: OpenLedger }> {
  const folder = await mkdtemp(join(tmpdir(), 'cairn-ledger-'));
  const path = join(folder, 'ledger.sqlite');
  const ledger = await openLedger({ path, keys, record, clock, faults: noFaults });
  t.after(async () => {
    await ledger.close();
    await rm(folder, { recursive: true });
  });
  return { path, ledger };
}

function signed(statement: Statement, signer: Signer = record): SignedStatement {
  return { envelope: signEnvelope(makeStatement(statement), signer), key: spki(signer) };
}

function requested(release: Digest, change: Partial<Request>): SignedStatement {
  const predicate: Request = { action: 'promote', application, environment, by: 'ada', nonce: 'a nonce of ours', head: null, configuration: {}, secrets: {}, restores: null, reason: null, ...change };
  return signed({ predicateType: predicateTypes.request, subject: [subjectOf(application, release)], predicate }, person);
}

function built(release: Digest): SignedStatement {
  return signed(provenance({
    subject: [subjectOf(application, release)], application, source: { uri: 'https://example.com/shop.git', commit: 'c0ffee' }, stages: digestOf('stages'), environment: [],
    dependencies: [], isolation: { users: false, limits: false, reason: 'a test' }, builder: { id: 'https://example.com/ada', version: '1' }, invocation: 'one', startedAt: '2026-01-01T00:00:00Z', finishedAt: '2026-01-01T00:00:01Z',
  }), person);
}

/** Request, verdict and intent: what is written before anything is switched. */
function opening(request: SignedStatement, of: { operation: string; release: Digest; revision: number; direction: 'promote' | 'rollback'; restores: number | null; passed?: boolean }): SignedStatement[] {
  const { operation, release, revision, direction, restores, passed = true } = of;
  const content = contentHash({ release, configuration: {}, secrets: {} });
  const summary = verificationSummary({
    origin: keys.origin, application, environment, operation, revision, direction, release, content, subject: [subjectOf(application, release)], policy: digestOf('policy'),
    evidence: [], passed, rules: [], time: '2026-01-01T00:00:00Z', version: '1',
  });
  const intent = { operation, application, environment, revision, content, from: null, restores };
  return [request, signed(summary), ...(passed ? [signed({ predicateType: predicateTypes.intent, subject: [subjectOf(application, release)], predicate: intent })] : [])];
}

function ended(operation: string, revision: number, state: 'live' | 'confirmed' | 'failed', journal: number | null = null): SignedStatement {
  const predicate = { operation, application, environment, revision, state, milliseconds: null, journal, detail: null };
  return signed({ predicateType: predicateTypes.outcome, subject: [subjectOf(application, digestOf('one'))], predicate });
}

/** Two promotions, a rollback, its resumption, a refusal and a failure. */
async function history(ledger: OpenLedger): Promise<void> {
  const [one, two] = [digestOf('one'), digestOf('two')];
  const head = (at: number) => ({ application, environment, head: at });
  await ledger.commit([built(one)]);
  await ledger.commit([built(two)]);
  for (const [at, release] of [one, two].entries()) {
    const request = requested(release, { nonce: `promotion ${at}` });
    const operation = envelopeDigest(request.envelope);
    await ledger.commit(opening(request, { operation, release, revision: at + 1, direction: 'promote', restores: null }), head(at));
    await ledger.commit([ended(operation, at + 1, 'live', at + 2)]);
    clock.advance(1000);
    await ledger.commit([ended(operation, at + 1, 'confirmed')]);
  }
  const back = requested(one, { action: 'rollback', nonce: 'operation-3', restores: 1, reason: 'a drill' });
  await ledger.commit([...opening(back, { operation: 'operation-3', release: one, revision: 3, direction: 'rollback', restores: 1 }), ended('operation-3', 3, 'confirmed', 9)], head(2));
  await ledger.commit([requested(two, { action: 'resume', nonce: 'resumption' })]);
  const refused = requested(two, { nonce: 'promotion 4' });
  await ledger.commit(opening(refused, { operation: envelopeDigest(refused.envelope), release: two, revision: 4, direction: 'promote', restores: null, passed: false }), head(3));
  const failing = requested(two, { nonce: 'promotion 5' });
  const operation = envelopeDigest(failing.envelope);
  await ledger.commit(opening(failing, { operation, release: two, revision: 5, direction: 'promote', restores: null }), head(4));
  await ledger.commit([ended(operation, 5, 'failed')]);
}

function edit(path: string, sql: string): void {
  const database = new DatabaseSync(path);
  database.exec(sql);
  database.close();
}

test('a statement that is committed again is not written again, and answers its first entry', async (t) => {
  const { ledger } = await ledgerAt(t);
  const statement = built(digestOf('one'));
  const [first] = await ledger.commit([statement]);
  const before = await ledger.checkpoint();
  const [again] = await ledger.commit([statement]);
  assert.deepEqual(again, first);
  assert.deepEqual(await ledger.checkpoint(), before);
  // A bundle's bytes stay the same however the log grows.
  await ledger.commit([built(digestOf('two'))]);
  assert.deepEqual((await ledger.commit([statement]))[0]?.bundle, first?.bundle);
});

test('a head that has moved is a conflict, and nothing is written', async (t) => {
  const { ledger } = await ledgerAt(t);
  await history(ledger);
  const [dump, checkpoint] = [await ledger.dumpIndex(), await ledger.checkpoint()];
  const request = requested(digestOf('two'), { nonce: 'too late' });
  const statements = opening(request, { operation: envelopeDigest(request.envelope), release: digestOf('two'), revision: 2, direction: 'promote', restores: null });
  await assert.rejects(ledger.commit(statements, { application, environment, head: 1 }), { code: 'conflict' });
  assert.equal(await ledger.dumpIndex(), dump);
  assert.deepEqual(await ledger.checkpoint(), checkpoint);
});

test('of many writers that saw one head, one wins and the others write nothing', async (t) => {
  const { ledger } = await ledgerAt(t);
  const results = await Promise.allSettled(Array.from({ length: 8 }, (_, at) => {
    const request = requested(digestOf('one'), { nonce: `promotion ${at}` });
    return ledger.commit(opening(request, { operation: envelopeDigest(request.envelope), release: digestOf('one'), revision: 1, direction: 'promote', restores: null }), { application, environment, head: 0 });
  }));
  assert.equal(results.filter((one) => one.status === 'fulfilled').length, 1);
  assert.equal((await ledger.timeline(application, environment)).revisions.length, 1);
  assert.equal((await ledger.checkpoint())?.size, 4);
});

test('the history gives the states that the life of a revision allows', async (t) => {
  const { ledger } = await ledgerAt(t);
  await history(ledger);
  const { revisions, live, head, quarantined } = await ledger.timeline(application, environment);
  assert.deepEqual(revisions.map((one) => one.state), ['retained', 'reverted', 'confirmed', 'denied', 'failed']);
  assert.equal(live?.restores, 1);
  assert.equal(head, 5);
  assert.deepEqual(quarantined, []);
  assert.equal(await ledger.journalCursor(application, environment), 9);
  assert.equal(await ledger.journalCursor(application, 'staging'), 0);
  assert.deepEqual(await ledger.findRelease(application, digestOf('two').slice(7, 15)), [digestOf('two')]);
});

test('the index folds again from the log to the same bytes, also after the ledger was opened anew', async (t) => {
  const { path, ledger } = await ledgerAt(t);
  await history(ledger);
  const before = await ledger.dumpIndex();
  const { counted, same } = await ledger.rebuild();
  assert.equal(same, true);
  assert.equal(await ledger.dumpIndex(), before);
  assert.equal(counted, before.split('\n').filter((line) => line.startsWith('statements ')).length);
  const second = await openLedger({ path, keys, record, clock, faults: noFaults });
  await second.rebuild();
  assert.equal(await second.dumpIndex(), before);
  await second.close();
});

test('a rebuild says that the index was as the log says, also while others commit', async (t) => {
  const { ledger } = await ledgerAt(t);
  await history(ledger);
  const [results] = await Promise.all([
    Promise.all(Array.from({ length: 4 }, () => ledger.rebuild())),
    Promise.all(Array.from({ length: 4 }, (_, at) => ledger.commit([built(digestOf(`${at}`))]))),
  ]);
  assert.deepEqual(results.map(({ same }) => same), [true, true, true, true]);
});

test('an index that was edited by hand is mended by folding the log again', async (t) => {
  const { path, ledger } = await ledgerAt(t);
  await history(ledger);
  const before = await ledger.dumpIndex();
  edit(path, `update revisions set state = 'confirmed' where number = 2; update revisions set state = 'reverted' where number = 3; delete from subjects where idx < 3;
    insert into quarantines values ('shop', 'production', '${digestOf('one')}')`);
  assert.notEqual(await ledger.dumpIndex(), before);
  assert.equal((await ledger.rebuild()).same, false);
  assert.equal(await ledger.dumpIndex(), before);
});

for (const [what, sql] of [
  ['missing', 'delete from envelopes where idx = 4'],
  ['altered', `update envelopes set body = replace(body, '"sig":"M', '"sig":"N') where idx = 4`],
  ['given another key', 'update envelopes set key = (select key from envelopes where idx = 5) where idx = 4'],
  ['swapped for another', 'update envelopes set idx = -1 where idx = 4; update envelopes set idx = 4 where idx = 0'],
] as const) {
  test(`an envelope that is ${what} stops the rebuild, and the index stays as it was`, async (t) => {
    const { path, ledger } = await ledgerAt(t);
    await history(ledger);
    const before = await ledger.dumpIndex();
    edit(path, sql);
    await assert.rejects(ledger.rebuild(), { code: 'storage' });
    assert.equal(await ledger.dumpIndex(), before);
  });
}

for (const [what, sql] of [
  ['a statement that an ingest names', 'idx = 0'],
  ['the newest ingest', `idx = (select max(idx) from envelopes where key = '${spki(record)}')`],
  ['every ingest', `key = '${spki(record)}'`],
] as const) {
  test(`an envelope missing from the ledger is an incident: ${what}`, async (t) => {
    const { path, ledger } = await ledgerAt(t);
    await history(ledger);
    const before = await ledger.dumpIndex();
    edit(path, `delete from envelopes where ${sql}`);
    await assert.rejects(ledger.rebuild(), { code: 'storage', message: what.startsWith('a statement') ? /log entry 0 has no envelope/ : /has no envelope, though it is of a key of the server itself/ });
    assert.equal(await ledger.dumpIndex(), before);
    const reader = await openReader(path);
    await assert.rejects(reader.refold(spki(record)), { code: 'storage' });
    await reader.close();
  });
}

test('an ingest that names another envelope than the one that its leaf was made of stops the rebuild', async (t) => {
  const { path, ledger } = await ledgerAt(t);
  await history(ledger);
  const size = (await ledger.checkpoint())?.size ?? 0;
  const { envelope, key } = signed({ predicateType: predicateTypes.ingest, subject: [subjectOf('envelope 0', digestOf('another'))], predicate: { entries: [{ logIndex: 0, envelope: digestOf('another') }] } });
  const body = entryBody(pae(envelope.payloadType, payloadOf(envelope)), envelope.signatures[0].sig, Buffer.from(key, 'base64'));
  const database = new DatabaseSync(path);
  database.prepare('insert into leaves values (?, ?)').run(size, body);
  database.prepare('insert into envelopes (digest, idx, key, body) values (?, ?, ?, ?)').run(envelopeDigest(envelope), size, key, JSON.stringify(envelope));
  database.prepare('insert into checkpoints select ?, note from checkpoints where size = ?').run(size + 1, size);
  database.close();
  await assert.rejects(ledger.rebuild(), { code: 'storage', message: /log entry 0 is not the envelope that the ingest at \d+ names/ });
});

test('an ingest that another key than the record key signed counts for nothing', async (t) => {
  const { path, ledger } = await ledgerAt(t);
  await history(ledger);
  const other = await openLedger({ path, keys, record: generateSigner('ecdsa'), clock, faults: noFaults });
  await other.commit([built(digestOf('three'))]);
  await other.close();
  await assert.rejects(ledger.rebuild(), { code: 'storage' });
});

test('every bundle verifies with our verifier and with that of sigstore-js', async (t) => {
  const { ledger } = await ledgerAt(t);
  await history(ledger);
  const logged = await ledger.since(0, 100);
  assert.ok(logged.length > 15);
  const root = TrustedRoot.fromJSON(trustedRoot(verifier, '2020-01-01T00:00:00Z'));
  const publicKeys = new Map([person, record].map((one) => [keyHint(one.publicKey), one]));
  const material = toTrustMaterial(root, (hint) => {
    const signer = publicKeys.get(hint);
    assert.ok(signer);
    return { publicKey: createPublicKey(publicKeyPem(signer.publicKey)), validFor: () => true };
  });
  const sigstore = new Verifier(material, { tlogThreshold: 1, ctlogThreshold: 0, timestampThreshold: 0 });
  for (const one of logged) {
    const verified = verifyBundle(one.bundle, { log: verifier, keys: [spki(person), spki(record)] });
    assert.equal(verified.logIndex, one.logIndex);
    assert.equal(verified.time, one.time);
    assert.equal(verified.envelope, one.digest);
    sigstore.verify(toSignedEntity(bundleFromJSON(one.bundle)));
  }
  const [first] = logged;
  assert.ok(first);
  assert.throws(() => verifyBundle(first.bundle, { log: verifier, keys: [spki(record)] }), { code: 'verification-failed' });
});
