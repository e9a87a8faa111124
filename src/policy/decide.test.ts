import assert from 'node:assert/strict';
import { test } from 'node:test';
import { canonicalJson, digestOf } from '#core';
import { decide, parsePolicy, policyDigest, type Evidence, type EvidenceStatement, type Policy, type Rule } from '#policy';

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
const by = (key: string) => ({ kind: 'key', key }) as const;
const provenance = { envelope: digestOf('e'), predicateType: 'https://slsa.dev/provenance/v1', subjects: [release], signer: by('YWRh'), logIndex: 7, time: 1, says: { kind: 'provenance', commit: 'c0ffee1', source: 'git+https://x', builder: 'https://x/builders/ada', changes: null } } as const;
const evidence: Evidence = {
  release, application: 'shop', commit: 'c0ffee1', source: null, changes: null, components: [digestOf('web'), digestOf('worker')], statements: [provenance],
  confirmedIn: [{ environment: 'staging', time: 600 }], quarantined: false, revoked: null, revokedKeys: [], revokedPackages: [], breakGlass: null, debts: [], witnessed: null, sources: [], since: 1, schema: null,
};
const production = { environment: 'production', direction: 'promote', by: 'ada', time: 1200 } as const;
const failing = (change: Partial<Evidence>) => decide(policy, { ...evidence, ...change }, production).rules.filter((rule) => !rule.passed);

test('a release with provenance by a builder that was confirmed in staging is admitted, and the verdict names what it rests on', () => {
  const decision = decide(policy, evidence, production);
  assert.ok(decision.passed);
  assert.deepEqual(decision.evidence, [provenance.envelope]);
});

test('provenance counts only by a builder, for this release and for its commit, and the nearest miss is named', () => {
  assert.match(failing({ statements: [] })[0]?.found ?? '', /no provenance/);
  assert.match(failing({ statements: [{ ...provenance, signer: by('Ym9i') }] })[0]?.nearest ?? '', /bob, who is no builder/);
  assert.match(failing({ statements: [{ ...provenance, signer: by('ZXZl') }] })[0]?.nearest ?? '', /does not know/);
  assert.match(failing({ statements: [{ ...provenance, says: { ...provenance.says, commit: 'badcafe' } }] })[0]?.nearest ?? '', /names commit badcafe/);
  assert.match(failing({ statements: [{ ...provenance, subjects: [digestOf('other')] }] })[0]?.found ?? '', /no provenance/);
});

test('staging comes before production, and the refusal says the command that mends it', () => {
  const [rule] = failing({ confirmedIn: [] });
  assert.equal(rule?.rule, 'confirmed-in staging');
  assert.match(rule?.fix ?? '', /^cairn promote [0-9a-f]{12} staging/);
  assert.ok(decide(policy, { ...evidence, confirmedIn: [] }, { ...production, environment: 'staging' }).passed);
});

test('a quarantined release may not come back by promotion', () => {
  assert.match(failing({ quarantined: true })[0]?.fix ?? '', /cairn resume/);
});

test('on the way back only rules that block rollbacks stop it', () => {
  const back = { ...production, direction: 'rollback' } as const;
  assert.ok(decide(policy, { ...evidence, confirmedIn: [] }, back).passed);
  assert.ok(!decide(policy, { ...evidence, statements: [] }, back).passed);
});

const gate = (rule: Rule, change: Partial<Evidence> = {}, people: Policy['people'] = policy.people) =>
  decide({ ...policy, people, environments: [{ name: 'production', promote: 'release', rollback: 'release', rules: [rule] }] }, { ...evidence, ...change }, production).rules.at(-1);

test('provenance names the builder who signed it, the tree that was built and the declared source', () => {
  const rule = { kind: 'provenance', role: 'builder', blocksRollback: true } as const;
  const saying = (change: object) => gate(rule, { statements: [{ ...provenance, says: { ...provenance.says, ...change } }] })?.nearest ?? '';
  assert.match(saying({ builder: 'https://x/builders/bob' }), /names the builder/);
  assert.match(saying({ changes: 'beef' }), /another tree/);
  assert.match(gate(rule, { source: 'https://elsewhere' })?.nearest ?? '', /names the source/);
});

test('an SBOM counts if a builder signed it over every component', () => {
  const rule = { kind: 'sbom', blocksRollback: false } as const;
  const sbom = { ...provenance, subjects: evidence.components, says: { kind: 'sbom', packages: Array.from({ length: 212 }, (_, at) => ({ purl: `pkg:npm/p${at}@1.0.0`, name: `p${at}`, version: '1.0.0', licenses: [] })) } } as const;
  assert.equal(gate(rule, { statements: [sbom] })?.found, '212 packages');
  assert.match(gate(rule, { statements: [] })?.found ?? '', /no SBOM/);
  assert.match(gate(rule, { statements: [{ ...sbom, subjects: [digestOf('web')] }] })?.nearest ?? '', /leaves out 1 of 2/);
  assert.match(gate(rule, { statements: [{ ...sbom, signer: by('Ym9i') }] })?.nearest ?? '', /no builder/);
});

test('the newest test result of the role speaks, and one by somebody else does not count', () => {
  const rule = { kind: 'tests', role: 'builder', blocksRollback: false } as const;
  const result = (outcome: 'PASSED' | 'FAILED', key = 'YWRh') => ({ ...provenance, signer: by(key), says: { kind: 'tests', result: outcome, passed: 41, failed: 0 } }) as const;
  assert.equal(gate(rule, { statements: [result('FAILED'), result('PASSED')] })?.found, '41 passed');
  assert.equal(gate(rule, { statements: [result('PASSED'), result('FAILED')] })?.passed, false);
  assert.match(gate(rule, { statements: [result('PASSED', 'Ym9i')] })?.nearest ?? '', /bob, who is no builder/);
  assert.match(gate(rule, { statements: [] })?.found ?? '', /no test result/);
});

test('a tree with changes of its own is refused', () => {
  assert.equal(gate({ kind: 'clean', blocksRollback: false }, { changes: 'beefbeef' })?.passed, false);
  assert.equal(gate({ kind: 'clean', blocksRollback: false })?.passed, true);
});

test('soaking counts from the first confirmation, to the second, and says when it opens', () => {
  const rule = (minutes: number) => ({ kind: 'soak', environment: 'staging', minutes, blocksRollback: false }) as const;
  assert.equal(gate(rule(10))?.passed, true);
  const early = gate(rule(11));
  assert.deepEqual([early?.passed, early?.found, early?.nearest], [false, 'is not yet in staging for 11 minutes', 'opens at 1970-01-01 00:21 UTC']);
  assert.equal(gate(rule(1), { confirmedIn: [] })?.passed, false);
});

test('approvals count people, not keys or signatures, and who asks is one', () => {
  const people: Policy['people'] = [...policy.people, { name: 'eve', roles: ['release'], keys: ['ZXZl', 'ZXZlMg=='] }];
  const rule = { kind: 'approvals', role: 'release', threshold: 3, blocksRollback: false } as const;
  const approval = (name: string, key: string, change: object = {}) => ({ ...provenance, signer: by(key), says: { kind: 'approval', application: 'shop', environment: 'production', by: name, expires: 1201, ...change } }) as EvidenceStatement;
  const found = (...statements: EvidenceStatement[]) => gate(rule, { statements }, people);
  assert.equal(found(approval('eve', 'ZXZl'), approval('eve', 'ZXZlMg=='))?.found, 'release: 2 of 3 people (ada, eve)');
  assert.equal(found(approval('eve', 'ZXZl'), approval('eve', 'ZXZlMg=='))?.passed, false);
  assert.match(found(approval('bob', 'Ym9i'))?.nearest ?? '', /bob, who is no release/);
  assert.match(found(approval('eve', 'ZXZl', { expires: 1200 }))?.nearest ?? '', /expired/);
  assert.match(found(approval('ada', 'ZXZl'))?.nearest ?? '', /says it is by ada/);
  assert.equal(found(approval('eve', 'ZXZl', { environment: 'staging' }))?.found, 'release: 1 of 3 people (ada)');
  assert.match(found()?.fix ?? '', /eve: cairn approve/);
  assert.equal(gate({ ...rule, threshold: 2 }, { statements: [approval('eve', 'ZXZl')] }, people)?.passed, true);
});

test('revocation and a schema that does not fit stop a rollback too', () => {
  const back = { ...production, direction: 'rollback' } as const;
  assert.ok(!decide(policy, { ...evidence, revoked: { by: 'eve', reason: 'CVE' } }, back).passed);
  assert.ok(!decide(policy, { ...evidence, schema: { version: 5, minimum: 1, maximum: 3 } }, back).passed);
  assert.ok(decide(policy, { ...evidence, schema: { version: 3, minimum: 1, maximum: 3 } }, back).passed);
  assert.ok(decide(policy, { ...evidence, schema: { version: null, minimum: 1, maximum: 3 } }, back).passed);
});

test('a policy in which two people share a key is refused, and the digest of a policy is pinned', () => {
  const shared = { ...policy, people: policy.people.map((one) => ({ ...one, keys: ['YWRh'] })) };
  assert.throws(() => parsePolicy(canonicalJson(shared)), /share the key/);
  assert.deepEqual(parsePolicy(canonicalJson(policy)), policy);
  assert.equal(policyDigest(policy), 'sha256:c66fa3f5b5a877eae45ae33e8eb6aedeea8a768f8b92777cbbe0c756531f0d64');
});

test('a policy in which one key is spelled in two ways, or whose lists are endless, is refused at once', () => {
  const plain = 'MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEzELrIytVgJnbRlM4mZagHnMTqWnAG2m8pRSwRkre8ASlC1CL7uS5j57nM1QcD6YB38TabrKQ4UVi2HvQhuh+Eg==';
  const people = [{ ...policy.people[0], keys: [plain] }, { ...policy.people[1], keys: [plain.replace('Eg==', 'Eh==')] }];
  assert.deepEqual(Buffer.from(plain, 'base64'), Buffer.from(plain.replace('Eg==', 'Eh=='), 'base64'));
  assert.throws(() => parsePolicy(canonicalJson({ ...policy, people })), { code: 'malformed-document', message: /plain base64/ });
  const began = performance.now();
  assert.throws(() => parsePolicy(canonicalJson({ ...policy, quorum: Array.from({ length: 300_000 }, () => ({})) })), { code: 'malformed-document', message: /64/ });
  assert.ok(performance.now() - began < 2000);
});

test('absent, unreachable and throttled are three refusals, each with what mends it', () => {
  const first = (sources: Evidence['sources']) => failing({ statements: [], sources })[0];
  assert.deepEqual([first([])?.cause, first([])?.nearest], ['absent', null]);
  for (const state of ['unreachable', 'throttled'] as const) {
    const rule = first([{ name: 'registry.example.com', state, detail: 'HTTP 429' }]);
    assert.deepEqual([rule?.cause, rule?.nearest], [state, `registry.example.com is ${state}: HTTP 429`]);
    assert.match(rule?.fix ?? '', /^Ask again when registry\.example\.com answers; else: A builder runs/);
  }
  // What nobody could bring is no matter of who answers, and what holds needs nobody.
  assert.equal(failing({ confirmedIn: [], sources: [{ name: 'registry.example.com', state: 'throttled', detail: 'HTTP 429' }] })[0]?.cause, 'absent');
  assert.equal(failing({ sources: [{ name: 'registry.example.com', state: 'throttled', detail: 'HTTP 429' }] }).length, 0);
  const unmet = failing({ statements: [{ ...provenance, signer: by('Ym9i') }] })[0];
  assert.deepEqual([unmet?.cause, unmet?.evidence], ['unmet', [provenance.envelope]]);
});
