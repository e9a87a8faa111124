import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { makeStatement, predicateTypes, signEnvelope, subjectOf, type Statement } from '#attest';
import { digestOf, fixedClock, noFaults } from '#core';
import { openLedger, type OpenLedger } from '#ledger';
import { PolicyChain, policyDigest, type Policy } from '#policy';
import type { SignedStatement } from '#release';
import { generateSigner, spkiOf, type Signer } from '#sign';

const clock = fixedClock('2026-01-01T00:00:00Z');
const record = generateSigner('ecdsa');
const keys = { origin: 'log.example.com', log: generateSigner('ed25519'), time: generateSigner('ed25519') };
const signers = { dan: generateSigner('ecdsa'), sue: generateSigner('ecdsa'), rex: generateSigner('ecdsa'), rex2: generateSigner('ecdsa'), robot: generateSigner('ecdsa'), late: generateSigner('ecdsa') };
const spki = (signer: Signer) => spkiOf(signer.publicKey).toString('base64');

const first: Policy = {
  kind: 'policy', version: 1,
  people: [
    { name: 'dan', roles: ['developer'], keys: [spki(signers.dan)] },
    { name: 'sue', roles: ['security'], keys: [spki(signers.sue)] },
    { name: 'rex', roles: ['release', 'developer'], keys: [spki(signers.rex), spki(signers.rex2)] },
    { name: 'lou', roles: ['release'], keys: [spki(signers.late)], validity: { [spki(signers.late)]: { from: '2026-02-01T00:00:00Z', until: '2026-03-01T00:00:00Z' } } },
    { name: 'robot', roles: ['release', 'developer', 'security'], keys: [spki(signers.robot)], machine: true },
  ],
  environments: [{ name: 'production', promote: 'release', rollback: 'release', rules: [{ kind: 'clean', blocksRollback: false }] }],
  quorum: [{ role: 'developer', threshold: 1 }, { role: 'security', threshold: 1 }, { role: 'release', threshold: 1 }],
};
const next = (before: Policy, change: Partial<Policy> = {}): Policy => ({ ...before, version: before.version + 1, previous: policyDigest(before), ...change });

function signed(statement: Statement, signer: Signer): SignedStatement {
  return { envelope: signEnvelope(makeStatement(statement), signer), key: spki(signer) };
}
const signs = (policy: Policy, signer: Signer) => signed({ predicateType: predicateTypes.policy, subject: [subjectOf('policy', policyDigest(policy))], predicate: policy }, signer);

async function ledgerWith(t: TestContext, policy: Policy = first): Promise<{ ledger: OpenLedger; say: (...statements: SignedStatement[]) => Promise<number> }> {
  const folder = await mkdtemp(join(tmpdir(), 'cairn-policy-'));
  const ledger = await openLedger({ path: join(folder, 'ledger.sqlite'), keys, record, clock, faults: noFaults });
  t.after(async () => {
    await ledger.close();
    await rm(folder, { recursive: true });
  });
  await ledger.commit([signs(policy, signers.rex)]);
  return { ledger, say: async (...statements) => Promise.all(statements.map((one) => ledger.commit([one]))).then(async () => (await ledger.policy()).version) };
}

/** The same by the bytes of the log, as an audit and a client read it. */
async function chainOf(ledger: OpenLedger): Promise<PolicyChain> {
  const chain = new PolicyChain(policyDigest(first));
  const { keys: revoked } = await ledger.revocations();
  for (const { statement, key, logIndex, time } of await ledger.since(0, 1000)) {
    if (statement.predicateType === predicateTypes.policy) chain.take({ statement, key, logIndex, time }, revoked);
  }
  return chain;
}

test('a version is in force behind the signature that completes the quorum of the version before it, and not one entry earlier', async (t) => {
  const { ledger, say } = await ledgerWith(t);
  const second = next(first);
  assert.equal(await say(signs(second, signers.dan)), 1);
  assert.equal(await say(signs(second, signers.sue)), 1);
  const [proposal] = await ledger.proposals();
  assert.deepEqual(proposal?.open, [{ role: 'release', people: ['rex', 'lou'] }]);
  assert.deepEqual([proposal.state, proposal.signatures.map(({ by }) => by)], ['open', ['dan', 'sue']]);
  assert.equal(await say(signs(second, signers.rex)), 2);
  const at = (await ledger.policies()).map(({ logIndex }) => logIndex);
  const completed = at[1] ?? -1;
  assert.deepEqual([(await ledger.policyAt(completed))?.policy.version, (await ledger.policyAt(completed + 1))?.policy.version, await ledger.policyAt(0)], [1, 2, undefined]);
  assert.equal((await ledger.proposals())[0]?.state, 'in-force');
  assert.deepEqual((await chainOf(ledger)).versions, await ledger.policies());
  assert.equal((await ledger.rebuild()).same, true);
});

test('one person with two keys fills one place, and so does one who signs twice', async (t) => {
  const { ledger, say } = await ledgerWith(t);
  const second = next(first);
  assert.equal(await say(signs(second, signers.rex), signs(second, signers.rex2), signs(second, signers.rex), signs(second, signers.sue)), 1);
  assert.equal((await ledger.proposals())[0]?.open.length, 1);
  assert.equal(await say(signs(second, signers.dan)), 2);
});

test('neither the server nor a machine nor a stranger changes the policy, alone or together', async (t) => {
  const { ledger, say } = await ledgerWith(t);
  const second = next(first);
  assert.equal(await say(signs(second, record), signs(second, signers.robot), signs(second, generateSigner('ecdsa')), signs(second, signers.dan), signs(second, signers.sue)), 1);
  assert.match((await ledger.proposals())[0]?.signatures[1]?.complaint ?? '', /robot, a machine/);
  assert.equal((await chainOf(ledger)).versions.length, 1);
});

test('a key outside its validity by one second does not count, on both sides', async (t) => {
  for (const [time, version] of [['2026-01-31T23:59:59Z', 1], ['2026-02-01T00:00:00Z', 2], ['2026-03-01T00:00:00Z', 2], ['2026-03-01T00:00:01Z', 1]] as const) {
    const { say } = await ledgerWith(t);
    const second = next(first);
    await say(signs(second, signers.dan), signs(second, signers.sue));
    clock.advance(Date.parse(time) - clock.now().getTime());
    assert.equal(await say(signs(second, signers.late)), version, time);
    clock.advance(Date.parse('2026-01-01T00:00:00Z') - clock.now().getTime());
  }
});

test('a revoked key does not count, behind the entry that its revocation names and before the quorum is complete', async (t) => {
  const { ledger, say } = await ledgerWith(t);
  const second = next(first);
  await say(signs(second, signers.dan));
  const revoked = (after: number | null) => signed({ predicateType: predicateTypes.keyRevocation, subject: [subjectOf('key', digestOf(spki(signers.dan)))], predicate: { key: spki(signers.dan), after, by: 'sue', nonce: `revoked ${after}`, reason: 'lost' } }, signers.sue);
  const [{ logIndex = 0 } = {}] = (await ledger.proposals())[0]?.signatures ?? [];
  await say(revoked(logIndex));
  assert.equal((await ledger.proposals())[0]?.open.length, 2);
  await say(revoked(logIndex - 1));
  assert.equal((await ledger.proposals())[0]?.open.length, 3);
  assert.equal(await say(signs(second, signers.sue), signs(second, signers.rex)), 1);
});

test('a proposal that follows a version which is in force no more is dead, also where its last signature comes late', async (t) => {
  const { ledger, say } = await ledgerWith(t);
  const [one, two] = [next(first), next(first, { revoke: ['security'] })];
  await say(signs(two, signers.dan), signs(two, signers.sue));
  assert.equal(await say(signs(one, signers.dan), signs(one, signers.sue), signs(one, signers.rex)), 2);
  assert.deepEqual((await ledger.proposals()).map(({ state }) => state), ['dead', 'in-force']);
  await say(signs(two, signers.rex));
  // Nor does one come back as what a later version would follow.
  const third = next(two);
  assert.equal(await say(signs(third, signers.dan), signs(third, signers.sue), signs(third, signers.rex)), 2);
  assert.equal((await ledger.policy()).revoke, undefined);
  assert.deepEqual((await chainOf(ledger)).versions, await ledger.policies());
});

test('what is signed before the version it follows is in force counts for nothing', async (t) => {
  const { ledger, say } = await ledgerWith(t);
  const second = next(first);
  const third = next(second);
  await say(signs(third, signers.dan), signs(third, signers.sue), signs(third, signers.rex));
  assert.equal(await say(signs(second, signers.dan), signs(second, signers.sue), signs(second, signers.rex)), 2);
  assert.deepEqual((await ledger.proposals()).length, 1);
  assert.equal((await chainOf(ledger)).versions.length, 2);
});

test('a malformed policy, or one under the digest of another, stands in the log and changes nothing', async (t) => {
  const { ledger, say } = await ledgerWith(t);
  const second = next(first);
  const about = (subject: Policy, predicate: unknown) => signed({ predicateType: predicateTypes.policy, subject: [subjectOf('policy', policyDigest(subject))], predicate }, signers.rex);
  assert.equal(await say(about(first, second), about(second, { ...second, stray: 1 })), 1);
  assert.deepEqual(await ledger.proposals(), []);
  assert.equal((await ledger.rebuild()).same, true);
});

test('a single person is a quorum of one', async (t) => {
  const alone: Policy = { ...first, people: [{ name: 'rex', roles: ['release'], keys: [spki(signers.rex)] }], quorum: [{ role: 'release', threshold: 1 }] };
  const { say } = await ledgerWith(t, alone);
  assert.equal(await say(signs(next(alone), signers.rex)), 2);
});

test('a genesis policy swapped by the server is refused by who reads the log', async (t) => {
  const { ledger } = await ledgerWith(t, { ...first, revoke: ['release'] });
  await assert.rejects(chainOf(ledger), { code: 'verification-failed', context: { reason: 'genesis-policy' } });
  const forged = await ledgerWith(t);
  const chain = new PolicyChain(policyDigest(first));
  const [statement] = await forged.ledger.since(0, 1);
  assert.ok(statement);
  assert.throws(() => chain.take({ ...statement, key: spki(record) }, []), { code: 'verification-failed', context: { reason: 'genesis-policy' } });
});
