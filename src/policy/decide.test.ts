import assert from 'node:assert/strict';
import { test } from 'node:test';
import { canonicalJson, digestOf } from '#core';
import { decide, parsePolicy, policyDigest, type Evidence, type Policy } from '#policy';

const policy: Policy = {
  kind: 'policy',
  version: 1,
  people: [
    { name: 'ada', roles: ['builder', 'release'], keys: ['YWRh'] },
    { name: 'bob', roles: ['developer'], keys: ['Ym9i'] },
  ],
  environments: [
    { name: 'staging', promote: 'release', rollback: 'release', rules: [{ kind: 'provenance', role: 'builder', blocksRollback: true }] },
    {
      name: 'production', promote: 'release', rollback: 'release',
      rules: [{ kind: 'provenance', role: 'builder', blocksRollback: true }, { kind: 'confirmed-in', environment: 'staging', blocksRollback: false }],
    },
  ],
  quorum: [{ role: 'release', threshold: 1 }],
};
const release = digestOf('release');
const provenance = { envelope: digestOf('e'), predicateType: 'https://slsa.dev/provenance/v1', subjects: [release], key: 'YWRh', logIndex: 7, time: 1, commit: 'c0ffee1' };
const evidence: Evidence = { release, application: 'shop', commit: 'c0ffee1', statements: [provenance], confirmedIn: ['staging'], quarantined: false };
const production = { environment: 'production', direction: 'promote' } as const;
const failing = (change: Partial<Evidence>) => decide(policy, { ...evidence, ...change }, production).rules.filter((rule) => !rule.passed);

test('a release with provenance by a builder that was confirmed in staging is admitted, and the verdict names what it rests on', () => {
  const decision = decide(policy, evidence, production);
  assert.ok(decision.passed);
  assert.deepEqual(decision.evidence, [provenance.envelope]);
});

test('provenance counts only by a builder, for this release and for its commit, and the nearest miss is named', () => {
  assert.match(failing({ statements: [] })[0]?.found ?? '', /no provenance/);
  assert.match(failing({ statements: [{ ...provenance, key: 'Ym9i' }] })[0]?.nearest ?? '', /bob, who is no builder/);
  assert.match(failing({ statements: [{ ...provenance, key: 'ZXZl' }] })[0]?.nearest ?? '', /does not know/);
  assert.match(failing({ statements: [{ ...provenance, commit: 'badcafe' }] })[0]?.nearest ?? '', /names commit badcafe/);
  assert.match(failing({ statements: [{ ...provenance, subjects: [digestOf('other')] }] })[0]?.found ?? '', /no provenance/);
});

test('staging comes before production, and the refusal says the command that mends it', () => {
  const [rule] = failing({ confirmedIn: [] });
  assert.equal(rule?.rule, 'confirmed-in staging');
  assert.match(rule?.fix ?? '', /^cairn promote [0-9a-f]{12} staging/);
  assert.ok(decide(policy, { ...evidence, confirmedIn: [] }, { environment: 'staging', direction: 'promote' }).passed);
});

test('a quarantined release may not come back by promotion', () => {
  assert.match(failing({ quarantined: true })[0]?.fix ?? '', /cairn resume/);
});

test('on the way back only rules that block rollbacks stop it', () => {
  const back = { environment: 'production', direction: 'rollback' } as const;
  assert.ok(decide(policy, { ...evidence, confirmedIn: [] }, back).passed);
  assert.ok(!decide(policy, { ...evidence, statements: [] }, back).passed);
});

test('a policy in which two people share a key is refused, and the digest of a policy is pinned', () => {
  const shared = { ...policy, people: policy.people.map((one) => ({ ...one, keys: ['YWRh'] })) };
  assert.throws(() => parsePolicy(canonicalJson(shared)), /share the key/);
  assert.deepEqual(parsePolicy(canonicalJson(policy)), policy);
  assert.equal(policyDigest(policy), 'sha256:c66fa3f5b5a877eae45ae33e8eb6aedeea8a768f8b92777cbbe0c756531f0d64');
});
