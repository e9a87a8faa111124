import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { envelopeDigest, makeStatement, predicateTypes, signEnvelope, subjectOf, verificationSummary, type Request, type Statement } from '#attest';
import { digestOf, fixedClock, noFaults, type Digest } from '#core';
import { homePaths } from '#home';
import { openLedger, type OpenLedger } from '#ledger';
import { policyDigest, type Policy } from '#policy';
import type { SignedStatement } from '#release';
import type { PoliciesAnswer } from '#server';
import { generateSigner, spkiOf, type Signer } from '#sign';
import { trustBody } from '#verify';
import { auditSigners } from './audit-signers.ts';
import type { Finding } from './audit-log.ts';
import { followPolicy, rememberPolicy, requireSigned } from './policy-chain.ts';

const clock = fixedClock('2026-01-01T00:00:00Z');
const [record, admit, rex, sue, log, time] = [generateSigner('ecdsa'), generateSigner('ecdsa'), generateSigner('ecdsa'), generateSigner('ecdsa'), generateSigner('ed25519'), generateSigner('ed25519')];
const spki = (signer: Signer) => spkiOf(signer.publicKey).toString('base64');
const origin = 'log-000000000000.cairn.internal';
const verifier = { origin, log: log.publicKey, time: time.publicKey };

const first: Policy = {
  kind: 'policy', version: 1, people: [{ name: 'rex', roles: ['release'], keys: [spki(rex)] }, { name: 'sue', roles: ['security'], keys: [spki(sue)] }],
  environments: [{ name: 'production', promote: 'release', rollback: 'release', rules: [{ kind: 'clean', blocksRollback: false }] }],
  quorum: [{ role: 'release', threshold: 1 }, { role: 'security', threshold: 1 }],
};
const second: Policy = { ...first, version: 2, previous: policyDigest(first), revoke: ['security'] };
const third: Policy = { ...second, version: 3, previous: policyDigest(second), revoke: ['release'] };
const trust = trustBody({
  kind: 'trust', version: 1, origin, since: '2026-01-01T00:00:00Z', keys: { log: spki(log), time: spki(time), record: spki(record), admit: { production: spki(admit) } }, policy: policyDigest(first),
  rotation: { threshold: 1, keys: [spki(rex)] }, recovery: null,
});

const signed = (statement: Statement, signer: Signer): SignedStatement => ({ envelope: signEnvelope(makeStatement(statement), signer), key: spki(signer) });
const signs = (policy: Policy, signer: Signer) => signed({ predicateType: predicateTypes.policy, subject: [subjectOf('policy', policyDigest(policy))], predicate: policy }, signer);

async function ledgerOf(t: TestContext, ...statements: readonly SignedStatement[]): Promise<OpenLedger> {
  const folder = await mkdtemp(join(tmpdir(), 'cairn-chain-'));
  const ledger = await openLedger({ path: join(folder, 'ledger.sqlite'), keys: { origin, log, time }, record, clock, faults: noFaults });
  t.after(async () => {
    await ledger.close();
    await rm(folder, { recursive: true });
  });
  for (const one of statements) await ledger.commit([one]);
  return ledger;
}

/** What a server answers, true or not. */
async function answerOf(ledger: OpenLedger): Promise<PoliciesAnswer> {
  const logged = [...(await ledger.ofType(predicateTypes.policy)), ...(await ledger.ofType(predicateTypes.keyRevocation))].toSorted((a, b) => a.logIndex - b.logIndex);
  return { statements: logged.map(({ digest, logIndex, time: at, key, bundle, statement }) => ({ digest, logIndex, time: at, key, bundle, predicateType: statement.predicateType })), proposals: await ledger.proposals(), environments: [] };
}
const refusal = (reason: string) => ({ code: 'verification-failed', context: { reason } });

test('a client follows the policy from the trusted digest by the bundles alone', async (t) => {
  const ledger = await ledgerOf(t, signs(first, rex), signs(second, rex), signs(second, sue), signs(third, sue));
  const chain = followPolicy(trust, verifier, await answerOf(ledger));
  assert.deepEqual(chain.versions, await ledger.policies());
  requireSigned(chain, policyDigest(second));
  assert.throws(() => requireSigned(chain, policyDigest(third)), refusal('policy-quorum'));
});

test('a genesis policy swapped by the server is refused, and so is one that none of its people signed', async (t) => {
  const swapped = await answerOf(await ledgerOf(t, signs({ ...first, revoke: ['release'] }, rex)));
  assert.throws(() => followPolicy(trust, verifier, swapped), refusal('genesis-policy'));
  const byServer = await answerOf(await ledgerOf(t, signs(first, record)));
  assert.throws(() => followPolicy(trust, verifier, byServer), refusal('genesis-policy'));
  assert.throws(() => followPolicy(trust, verifier, { statements: [], proposals: [] }), refusal('genesis-policy'));
});

test('a version without its quorum is refused, whatever the server says of it', async (t) => {
  const honest = await answerOf(await ledgerOf(t, signs(first, rex), signs(second, rex)));
  const lying = { ...honest, proposals: honest.proposals.map((one) => ({ ...one, state: 'in-force' as const, open: [] })) };
  assert.equal(followPolicy(trust, verifier, honest).versions.length, 1);
  assert.throws(() => followPolicy(trust, verifier, lying), refusal('policy-quorum'));
});

test('a signature of the quorum that was altered is refused', async (t) => {
  const honest = await answerOf(await ledgerOf(t, signs(first, rex), signs(second, rex), signs(second, sue)));
  const [a, b, c] = honest.statements;
  assert.ok(a !== undefined && b !== undefined && c !== undefined);
  const spliced = { ...c, bundle: { ...c.bundle, dsseEnvelope: { ...c.bundle.dsseEnvelope, payload: Buffer.from(makeStatement({ predicateType: predicateTypes.policy, subject: [subjectOf('policy', policyDigest(third))], predicate: third })).toString('base64') } } };
  assert.throws(() => followPolicy(trust, verifier, { ...honest, statements: [a, b, spliced] }), refusal('signature-invalid'));
});

test('a server that shows an older policy than was seen before is refused', async (t) => {
  const home = { paths: homePaths(await mkdtemp(join(tmpdir(), 'cairn-known-'))) };
  t.after(() => rm(home.paths.root, { recursive: true }));
  await mkdir(home.paths.known);
  const full = await answerOf(await ledgerOf(t, signs(first, rex), signs(second, rex), signs(second, sue)));
  await rememberPolicy(home, verifier, followPolicy(trust, verifier, full));
  const older = followPolicy(trust, verifier, { statements: full.statements.slice(0, 1), proposals: [] });
  await assert.rejects(rememberPolicy(home, verifier, older), refusal('policy-rewound'));
});

test('a verdict under an old policy is found, and one of a rollback may be of the version right before', async (t) => {
  const release = digestOf('release');
  const verdictOf = (operation: string, policy: Policy, direction: 'promote' | 'rollback') => {
    const by: Digest = policyDigest(policy);
    return signed(verificationSummary({
      origin, application: 'shop', environment: 'production', operation, revision: 1, direction, release, content: release, subject: [subjectOf('shop', release)], policy: by, evidence: [], passed: true, rules: [], time: '2026-01-01T00:00:00Z', version: '0',
    }), admit);
  };
  const request = (nonce: string, action: 'promote' | 'rollback'): SignedStatement => {
    const predicate: Request = { action, application: 'shop', environment: 'production', by: 'rex', nonce, head: null, configuration: {}, secrets: {}, restores: action === 'rollback' ? 1 : null, reason: null };
    return signed({ predicateType: predicateTypes.request, subject: [subjectOf('shop', release)], predicate }, action === 'rollback' ? record : rex);
  };
  const found = async (policy: Policy, direction: 'promote' | 'rollback', versions: readonly SignedStatement[]): Promise<Finding[]> => {
    const asked = request('a nonce of ours', direction);
    const ledger = await ledgerOf(t, signs(first, rex), ...versions, asked);
    await ledger.commit([verdictOf(direction === 'rollback' ? 'a nonce of ours' : envelopeDigest(asked.envelope), policy, direction)]);
    const findings: Finding[] = [];
    auditSigners((await ledger.since(0, 100)).map((one) => ({ ...one, envelope: one.digest })), trust, trust, (finding) => findings.push(finding));
    return findings;
  };
  const two = [signs(second, rex), signs(second, sue)];
  assert.deepEqual(await found(second, 'promote', two), []);
  assert.deepEqual((await found(first, 'promote', two)).map(({ reason }) => reason), ['stale-policy']);
  assert.deepEqual(await found(first, 'rollback', two), []);
  assert.deepEqual((await found(first, 'rollback', [...two, signs(third, rex), signs(third, sue)])).map(({ reason }) => reason), ['stale-policy']);
  assert.deepEqual((await found(third, 'promote', two)).map(({ reason }) => reason), ['stale-policy']);
});
