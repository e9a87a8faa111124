import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { makeStatement, predicateTypes, signEnvelope, subjectOf } from '#attest';
import { digestOf, noFaults, sha256, type Clock, type Digest, type Faults } from '#core';
import { openLedger, type OpenLedger } from '#ledger';
import { hashedRekord, readCheckpoint } from '#log';
import { generateSigner, spkiOf, type Signer } from '#sign';
import { currentTrust, trustDigest, verifyBundle, withLogKey, type Trust, type TrustFile } from '#verify';
import { LogTrust, type NextLogKey } from './log-trust.ts';

const clock: Clock = { now: () => new Date('2026-01-01T00:00:00Z'), elapsed: () => 0 };
const [ada, record, time] = [generateSigner('ecdsa'), generateSigner('ecdsa'), generateSigner('ed25519')];
const spki = (signer: Signer) => spkiOf(signer.publicKey).toString('base64');
const origin = 'log.example.com';
const trustStatement = (trust: Trust, signer = ada) => signEnvelope(makeStatement({ predicateType: predicateTypes.trust, subject: [subjectOf('trust', trustDigest(trust))], predicate: trust }), signer);
const notes = (name: string) => ({ envelope: signEnvelope(makeStatement({ predicateType: predicateTypes.notes, subject: [subjectOf('shop', digestOf(name))], predicate: { since: null, commits: [] } }), ada), key: spki(ada) });

/** A server that can be killed and started again: its ledger, its key files and its genesis outlive it. */
async function machine(t: TestContext) {
  const folder = await mkdtemp(join(tmpdir(), 'cairn-rotate-'));
  const files = { log: generateSigner('ed25519'), next: undefined as Signer | undefined };
  const genesis: Trust = {
    kind: 'trust', version: 1, origin, since: '2025-01-01T00:00:00Z', keys: { log: spki(files.log), time: spki(time), record: spki(record), admit: {} },
    policy: digestOf('policy'), rotation: { threshold: 1, keys: [spki(ada)] }, recovery: null,
  };
  const next: NextLogKey = {
    find: async () => files.next,
    make: async () => (files.next ??= generateSigner('ed25519')),
    adopt: async (key) => {
      Object.assign(files, { log: key, next: undefined });
    },
  };
  const opened: OpenLedger[] = [];
  t.after(async () => {
    for (const ledger of opened) await ledger.close();
    await rm(folder, { recursive: true });
  });
  const start = async (faults: Faults = noFaults) => {
    const ledger = await openLedger({ path: join(folder, 'ledger.sqlite'), keys: { origin, log: files.log, time }, record, clock, faults: noFaults });
    opened.push(ledger);
    if ((await ledger.checkpoint()) === undefined) await ledger.commit([{ envelope: trustStatement(genesis), key: spki(ada) }, notes('first')]);
    const published: TrustFile[] = [];
    return { ledger, published, trust: await LogTrust.open({ ledger, genesis, next, faults, changed: async (file) => void published.push(file) }) };
  };
  const sign = async (trust: LogTrust, change: (next: Trust) => Trust = (one) => one, signer = ada) => {
    const { key, size } = await trust.prepare();
    return [trustStatement(change(withLogKey(currentTrust(trust.file()), key, size, '2026-01-01T00:00:00Z')), signer)];
  };
  return { genesis, files, start, sign };
}

async function requireWhole(ledger: OpenLedger, trust: LogTrust): Promise<void> {
  const log = trust.verifier();
  assert.deepEqual(ledger.logKey().export({ format: 'jwk' }), log.log.export({ format: 'jwk' }), 'it signs with the key that trust names');
  const [fresh] = await ledger.commit([notes(`after ${(await ledger.checkpoint())?.size}`)]);
  const size = (await ledger.checkpoint())?.size ?? 0;
  for (const { bundle } of await ledger.since(0, 100)) verifyBundle(bundle, { log, keys: [spki(ada), spki(record)] });
  assert.equal(fresh?.logIndex, size - 2);
  assert.equal((await ledger.rebuild()).same, true);
}

for (const step of ['rotate', 'rotate logged', 'rotate adopted']) {
  test(`a change of the log's key that is cut off at "${step}" is whole or never was, and the same command ends it`, async (t) => {
    const { start, sign } = await machine(t);
    const first = await start({ point: (name) => { if (name === step) throw new Error('the power is cut'); } });
    const envelopes = await sign(first.trust);
    await assert.rejects(first.trust.rotate(envelopes), /the power is cut/);
    const second = await start();
    const { version } = currentTrust(second.trust.file());
    assert.equal(version, step === 'rotate' ? 1 : 2);
    await requireWhole(second.ledger, second.trust);
    assert.deepEqual(second.published.at(-1), second.trust.file());
    if (version === 1) await second.trust.rotate(await sign(second.trust));
    assert.equal(currentTrust(second.trust.file()).version, 2);
    await requireWhole(second.ledger, second.trust);
    // And once more, over the one before; what the first key signed holds through both.
    await second.trust.rotate(await sign(second.trust));
    const third = await start();
    assert.equal(currentTrust(third.trust.file()).former?.length, 2);
    await requireWhole(third.ledger, third.trust);
  });
}

test('a ledger that is older than its keys is not gone on with', async (t) => {
  const { start, files } = await machine(t);
  const { ledger } = await start();
  files.log = generateSigner('ed25519');
  const before = await ledger.checkpoint();
  await assert.rejects(start(), { code: 'storage', message: /of different times/ });
  assert.deepEqual(await ledger.checkpoint(), before);
});

test('the next key is made once, however often it is asked for', async (t) => {
  const { start } = await machine(t);
  const { trust } = await start();
  assert.deepEqual(await trust.prepare(), await trust.prepare());
});

test('a log that has grown since is a conflict that says its size, and the change may be asked for again', async (t) => {
  const { start, sign } = await machine(t);
  const { trust, ledger } = await start();
  const envelopes = await sign(trust);
  await ledger.commit([notes('meanwhile')]);
  const size = (await ledger.checkpoint())?.size;
  await assert.rejects(trust.rotate(envelopes), (error: { code: string; context: { size: number } }) => error.code === 'conflict' && error.context.size === size);
  await trust.rotate(await sign(trust));
  await requireWhole(ledger, trust);
});

test("a version of trust that gives the log a key of somebody else, or changes more than that key, is refused before anything is written", async (t) => {
  const { start, sign } = await machine(t);
  const { trust, ledger } = await start();
  const before = await ledger.checkpoint();
  const other = spki(generateSigner('ed25519'));
  await assert.rejects(trust.rotate(await sign(trust, (one) => ({ ...one, keys: { ...one.keys, log: other } }))), { code: 'refused' });
  await assert.rejects(trust.rotate(await sign(trust, (one) => ({ ...one, rotation: { threshold: 1, keys: [spki(record)] } }))), { code: 'refused' });
  await assert.rejects(trust.rotate(await sign(trust, (one) => ({ ...one, keys: { ...one.keys, record: spki(ada) } }))), { code: 'refused' });
  await assert.rejects(trust.rotate(await sign(trust, (one) => one, record)), { code: 'verification-failed' });
  assert.deepEqual(await ledger.checkpoint(), before);
});

test('writers that do not stop while the key changes lose nothing, and every checkpoint is under the key of its size', async (t) => {
  const { start, sign } = await machine(t);
  const { trust, ledger } = await start();
  const shown: string[] = [];
  ledger.onCheckpoint(({ note }) => shown.push(note));
  let going = true;
  const logged: Digest[] = [];
  const writer = async (name: string) => {
    for (let at = 0; going; at++) {
      const [one] = await ledger.commit([notes(`${name} ${at}`)]);
      if (one !== undefined) logged.push(one.digest);
      const text = `${name}/${at}`;
      await ledger.log({ body: hashedRekord(sha256(text).toString('base64'), ada.sign(Buffer.from(text)).toString('base64'), { publicKey: spki(ada) }), key: spki(ada) });
    }
  };
  const writers = Promise.all(['a', 'b', 'c'].map(writer));
  for (let tries = 0; tries < 200; tries++) {
    try {
      await trust.rotate(await sign(trust));
      break;
    } catch (error) {
      assert.equal((error as { code: string }).code, 'conflict');
    }
  }
  going = false;
  await writers;
  assert.equal(currentTrust(trust.file()).version, 2);
  for (const note of shown) readCheckpoint(note, trust.verifier());
  for (const digest of logged) assert.notEqual(await ledger.find(digest), undefined);
  await requireWhole(ledger, trust);
});
