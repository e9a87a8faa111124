import assert from 'node:assert/strict';
import { test } from 'node:test';
import { makeStatement, predicateTypes, signEnvelope, subjectOf } from '#attest';
import { digestOf, sha256 } from '#core';
import { formatCheckpoint, trustedRoot } from '#log';
import { generateSigner, spkiOf, type Signer } from '#sign';
import { currentTrust, parseTrustFile, requireChain, trustDigest, verifierOf, withLogKey, type Trust } from '#verify';
import { readCheckpoint } from '#log';

const [ada, recovery, time, record] = [generateSigner('ecdsa'), generateSigner('ecdsa'), generateSigner('ed25519'), generateSigner('ecdsa')];
const logs = [generateSigner('ed25519'), generateSigner('ed25519'), generateSigner('ed25519')] as const;
const spki = (signer: Signer) => spkiOf(signer.publicKey).toString('base64');
const origin = 'log.example.com';
const genesis: Trust = {
  kind: 'trust', version: 1, origin, since: '2026-01-01T00:00:00Z', keys: { log: spki(logs[0]), time: spki(time), record: spki(record), admit: {} },
  policy: digestOf('policy'), rotation: { threshold: 1, keys: [spki(ada)] }, recovery: spki(recovery),
};
const second = withLogKey(genesis, spki(logs[1]), 100, '2026-06-01T00:00:00Z');
const third = withLogKey(second, spki(logs[2]), 250, '2026-09-01T00:00:00Z');
const step = (trust: Trust, signer: Signer = ada) => [signEnvelope(makeStatement({ predicateType: predicateTypes.trust, subject: [subjectOf('trust', trustDigest(trust))], predicate: trust }), signer)];
const file = (...versions: Trust[]) => ({ genesis, rotations: versions.map((one) => step(one)) });
const checkpoint = (key: Signer, size: number) => formatCheckpoint({ origin, log: key, time }, size, sha256(`${size}`), 1_795_500_000);

test('a checkpoint under a retired key counts up to the size at which it was retired, and not for one entry more', () => {
  const log = verifierOf(currentTrust(parseTrustFile(Buffer.from(JSON.stringify(file(second, third))))));
  for (const [key, size] of [[logs[0], 0], [logs[0], 1], [logs[0], 100], [logs[1], 101], [logs[1], 250], [logs[2], 251], [logs[2], 9_999]] as const) assert.equal(readCheckpoint(checkpoint(key, size), log).size, size);
  for (const [key, size] of [[logs[0], 101], [logs[0], 9_999], [logs[1], 100], [logs[1], 251], [logs[2], 250], [logs[2], 1]] as const)
    assert.throws(() => readCheckpoint(checkpoint(key, size), log), (error: { code: string; context: { reason: string } }) => error.code === 'verification-failed' && error.context.reason === 'log-key-validity', `${size}`);
  assert.throws(() => readCheckpoint(checkpoint(generateSigner('ed25519'), 5), log), { code: 'verification-failed' });
});

test('a client that knows an older version follows the chain, and one whose chain does not pass through it is refused', () => {
  assert.deepEqual(requireChain(trustDigest(genesis), file(second, third)), third);
  assert.deepEqual(requireChain(trustDigest(second), file(second, third)), third);
  assert.throws(() => requireChain(trustDigest(third), file(second)), { code: 'trust-changed' });
  assert.equal(currentTrust({ genesis, rotations: [step(second, recovery)] }).version, 2);
});

test("a version that drops, stretches or invents what the log's keys were is refused, whoever signed it", () => {
  const refused = (trust: Trust, signer: Signer = ada) => assert.throws(() => currentTrust({ genesis, rotations: [step(second), step(trust, signer)] }), (error: { context: { reason: string } }) => error.context.reason === 'rotation-invalid');
  const [first, last] = third.former ?? [];
  assert.ok(first !== undefined && last !== undefined);
  refused({ ...third, former: [last] });
  refused({ ...third, former: [first] });
  refused({ ...third, former: [{ ...first, size: 200 }, last] });
  refused({ ...third, former: [first, { ...last, size: 100 }] });
  refused({ ...third, former: [first, { ...last, log: spki(generateSigner('ed25519')) }] });
  refused({ ...third, former: [first, { ...last, since: '2026-01-01T00:00:00Z' }] });
  refused({ ...third, former: [first, { ...last, until: '2026-05-01T00:00:00Z' }] });
  refused({ ...third, keys: { ...third.keys, log: spki(logs[0]) } });
  refused({ ...second, version: 3, former: [first, last] });
  const { former: _former, ...bare } = third;
  refused(bare as Trust);
  refused(third, generateSigner('ecdsa'));
});

test("a trust file without a change of the log's key has the digest that it always had", () => {
  assert.equal('former' in genesis, false);
  const text = JSON.stringify({ ...genesis, keys: { log: 'AAAA', time: 'AAAA', record: 'AAAA', admit: {} }, rotation: { threshold: 1, keys: ['AAAA'] }, recovery: null });
  const [pinned] = [JSON.parse(text) as Trust];
  assert.equal(trustDigest(pinned), digestOf('{"keys":{"admit":{},"log":"AAAA","record":"AAAA","time":"AAAA"},"kind":"trust","origin":"log.example.com","policy":"' + digestOf('policy') + '","recovery":null,"rotation":{"keys":["AAAA"],"threshold":1},"since":"2026-01-01T00:00:00Z","version":1}'));
});

test('the trusted root names every key with the time in which it was the log\'s', () => {
  const { tlogs } = trustedRoot(verifierOf(third), genesis.since) as { tlogs: { publicKey: { rawBytes: string; validFor: object } }[] };
  assert.deepEqual(tlogs.map(({ publicKey }) => publicKey.validFor), [{ start: genesis.since, end: '2026-06-01T00:00:00Z' }, { start: '2026-06-01T00:00:00Z', end: '2026-09-01T00:00:00Z' }, { start: '2026-09-01T00:00:00Z' }]);
  assert.deepEqual(tlogs.map(({ publicKey }) => publicKey.rawBytes), logs.map(spki));
});
