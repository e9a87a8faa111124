import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test, type TestContext } from 'node:test';
import { makeStatement, pae, payloadOf, predicateTypes, signEnvelope, subjectOf } from '#attest';
import { digestOf, fixedClock, noFaults, sha256 } from '#core';
import { openLedger, openReader, type OpenLedger } from '#ledger';
import { entryBody, hashedRekord, inclusionRoot, leafHash, readCheckpoint, type RekorEntry } from '#log';
import type { SignedStatement } from '#release';
import { generateSigner, spkiOf, type Signer } from '#sign';
import { verifyBundle } from '#verify';

const record = generateSigner('ecdsa');
const admit = generateSigner('ecdsa');
const person = generateSigner('ecdsa');
const keys = { origin: 'log.example.com', log: generateSigner('ed25519'), time: generateSigner('ed25519') };
const log = { origin: keys.origin, log: keys.log.publicKey, time: keys.time.publicKey };
const clock = fixedClock('2026-01-01T00:00:00Z');
const spki = (signer: Signer) => spkiOf(signer.publicKey).toString('base64');

async function ledgerAt(t: TestContext): Promise<{ path: string; ledger: OpenLedger }> {
  const folder = await mkdtemp(join(tmpdir(), 'cairn-strangers-'));
  const path = join(folder, 'ledger.sqlite');
  const ledger = await openLedger({ path, keys, record, clock, faults: noFaults, admit: [spki(admit)] });
  t.after(async () => {
    await ledger.close();
    await rm(folder, { recursive: true });
  });
  return { path, ledger };
}

function tests(name: string): SignedStatement {
  const statement = { predicateType: predicateTypes.tests, subject: [subjectOf('shop', digestOf(name))], predicate: { result: 'PASSED', name } };
  return { envelope: signEnvelope(makeStatement(statement), person), key: spki(person) };
}

/** The same leaf as the statement's, as cosign would send it. */
function asEntry({ envelope, key }: SignedStatement): RekorEntry {
  return { body: entryBody(pae(envelope.payloadType, payloadOf(envelope)), envelope.signatures[0].sig, Buffer.from(key, 'base64')), key };
}

function entryOf(text: string, signer: Signer): RekorEntry {
  return { body: hashedRekord(sha256(text).toString('base64'), signer.sign(Buffer.from(text)).toString('base64'), { publicKey: spki(signer) }), key: spki(signer) };
}

test("strangers' entries are leaves with a proof, and never count", async (t) => {
  const { path, ledger } = await ledgerAt(t);
  await ledger.commit([tests('one')]);
  const before = await ledger.dumpIndex();
  const [size, stranger] = [(await ledger.checkpoint())?.size ?? 0, generateSigner('ecdsa')];
  const wanted = Array.from({ length: 5 }, (_, at) => entryOf(`file ${at}`, stranger));
  const answers = await Promise.all(wanted.map((one) => ledger.log(one)));
  assert.deepEqual(answers.map(({ entry, fresh }) => [Number(entry.logIndex), fresh]), wanted.map((_, at) => [size + at, true]));
  for (const [at, { entry }] of answers.entries()) {
    const { root } = readCheckpoint(entry.inclusionProof.checkpoint.envelope, log);
    const hashes = entry.inclusionProof.hashes.map((one) => Buffer.from(one, 'base64'));
    assert.deepEqual(inclusionRoot(leafHash(wanted[at]?.body ?? Buffer.alloc(0)), size + at, Number(entry.inclusionProof.treeSize), hashes), root);
    assert.deepEqual(await ledger.entry(size + at), entry, 'the entry is the same whenever it is asked for');
  }
  assert.equal((await ledger.checkpoint())?.size, size + 5, 'one leaf each, and no ingest');
  assert.equal(await ledger.dumpIndex(), before);
  assert.equal((await ledger.rebuild()).same, true);
  const reader = await openReader(path);
  assert.equal((await reader.refold(spki(record), [spki(admit)])).same, true);
  await reader.close();
});

test('the same entry again answers the first one, and adds nothing', async (t) => {
  const { ledger } = await ledgerAt(t);
  const wanted = entryOf('a file', generateSigner('ecdsa'));
  const [first, twin] = await Promise.all([ledger.log(wanted), ledger.log(wanted)]);
  assert.deepEqual(twin.entry, first.entry);
  const later = await ledger.log(wanted);
  assert.deepEqual(later, { entry: first.entry, fresh: false });
  assert.equal((await ledger.checkpoint())?.size, 1);
});

test('a statement that a stranger logged before may count later, at the leaf that it has', async (t) => {
  const { path, ledger } = await ledgerAt(t);
  const statement = tests('one');
  const { entry } = await ledger.log(asEntry(statement));
  await ledger.log(entryOf('another', generateSigner('ecdsa')));
  clock.advance(60_000);
  const [logged] = await ledger.commit([statement]);
  assert.equal(logged?.logIndex, Number(entry.logIndex));
  assert.deepEqual(logged.bundle.verificationMaterial.tlogEntries[0], entry, 'nobody signs or proves it anew');
  assert.equal(verifyBundle(logged.bundle, { log, keys: [spki(person)] }).logIndex, 0);
  assert.equal((await ledger.checkpoint())?.size, 3, 'the ingest alone is new');
  assert.deepEqual((await ledger.log(asEntry(statement))).entry, entry);
  assert.equal((await ledger.rebuild()).same, true);
  const second = await openLedger({ path, keys, record, clock, faults: noFaults, admit: [spki(admit)] });
  assert.equal((await second.rebuild()).same, true);
  await second.close();
});

test("nobody logs in the server's own name: the leaf would look like one whose envelope was taken away", async (t) => {
  const { ledger } = await ledgerAt(t);
  await ledger.commit([tests('one')]);
  const before = await ledger.checkpoint();
  for (const signer of [record, admit]) await assert.rejects(ledger.log(entryOf('forged', signer)), { code: 'refused' });
  assert.deepEqual(await ledger.checkpoint(), before);
});

test("the day's count of strangers' entries outlives a restart, and forgets what is older", async (t) => {
  const { ledger } = await ledgerAt(t);
  for (let at = 0; at < 3; at++) await ledger.log(entryOf(`old ${at}`, person));
  clock.advance(86_400_000 + 60_000);
  await ledger.commit([tests('one')]);
  for (let at = 0; at < 4; at++) await ledger.log(entryOf(`new ${at}`, person));
  assert.equal(await ledger.strangersOfToday(), 4);
});

test('a ledger from before leaves were found by their hashes is filled in when it is opened', async (t) => {
  const { path, ledger } = await ledgerAt(t);
  const wanted = entryOf('a file', person);
  const { entry } = await ledger.log(wanted);
  await ledger.commit([tests('one')]);
  const database = new DatabaseSync(path);
  database.exec('drop table seen');
  database.close();
  const second = await openLedger({ path, keys, record, clock, faults: noFaults });
  t.after(() => second.close());
  assert.deepEqual(await second.log(wanted), { entry, fresh: false });
});
