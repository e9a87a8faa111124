import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { stringify } from 'yaml';
import { CairnError, canonicalJson } from '#core';
import { checkPolicy, decide, parsePolicy, policyDigest, readPolicyFile, requireSound, type Policy, type Rule } from '#policy';
import { evidence, keyOf, now, people, policyOf, question } from './fixture.ts';

const found = (policy: Policy, more: object = {}) => checkPolicy(policy, { now, ...more }).map(({ level, where, text, fix }) => `${level} ${where}: ${text} | ${fix}`);
const only = (policy: Policy, pattern: RegExp, more: object = {}) => {
  const all = found(policy, more);
  assert.equal(all.length, 1, all.join('\n'));
  assert.match(all[0] ?? '', pattern);
};
const gate = (...rules: Rule[]) => policyOf(rules);
const clean = { kind: 'clean', blocksRollback: false } as const;
const cel = (expression: string, name = 'gate') => ({ kind: 'cel', name, expression, blocksRollback: false }) as const;

test('a sound policy has nothing to mend', () => {
  assert.deepEqual(found(gate({ kind: 'provenance', role: 'builder', blocksRollback: true }, clean, { kind: 'approvals', role: 'release', threshold: 2, independent: true, blocksRollback: false }, cel("vulnerabilities.all(v, v.rank < 4) && age > duration('1h')"))), []);
});

test('thresholds that no set of people can meet are found, machines and who asks left out', () => {
  only(gate({ kind: 'approvals', role: 'release', threshold: 4, blocksRollback: false }), /error production: approvals release: needs 4 people of role release; there are 3/);
  // ada, eve and rex release; the robot may ask, but then who built is one of them, or the other way round.
  only(gate({ kind: 'provenance', role: 'release', blocksRollback: true }, { kind: 'approvals', role: 'release', threshold: 4, independent: true, blocksRollback: false }), /neither ask nor build; there are 3/);
  const alone = people.filter(({ name }) => name !== 'robot');
  only({ ...gate({ kind: 'provenance', role: 'builder', blocksRollback: true }, { kind: 'approvals', role: 'release', threshold: 3, independent: true, blocksRollback: false }), people: alone }, /neither ask nor build; there are 2/);
  only(gate({ kind: 'rebuilt', role: 'builder', threshold: 3, blocksRollback: false }), /needs 3 builders of role builder; there are 2/);
  only(gate({ kind: 'witnessed', threshold: 1, blocksRollback: false }), /needs 1 witnesses; there are 0/);
  only({ ...gate(clean), quorum: [{ role: 'security', threshold: 1 }, { role: 'release', threshold: 3 }] }, /error quorum: no set of people can meet it/);
});

test('roles that nobody has are named with the nearest', () => {
  only(gate({ kind: 'tests', role: 'bilder', blocksRollback: false }), /nobody has the role "bilder" \| Did you mean "builder"\?/);
  only({ ...gate(clean), quorum: [{ role: 'relase', threshold: 1 }] }, /error quorum: nobody has the role "relase" \| Did you mean "release"\?/);
  only({ ...gate(clean), revoke: ['audit'] }, /error revoke: nobody has the role "audit" \| Give it/);
  only({ ...gate(clean), people: people.map((one) => (one.name === 'robot' ? { ...one, roles: ['ci'] } : one)), quorum: [{ role: 'ci', threshold: 1 }] }, /only machines have the role "ci"/);
});

test('environments that do not exist, wait for themselves or are not the server\'s are found', () => {
  const waits = (environment: string) => ({ kind: 'soak', environment, minutes: 10, blocksRollback: false }) as const;
  only(gate(waits('prodution')), /waits for the environment "prodution", which does not exist \| Did you mean "production"\?/);
  only(gate(waits('production')), /error production: waits for itself/);
  const two = (a: string, b: string): Policy => ({ ...gate(clean), environments: [{ name: 'staging', promote: 'release', rollback: 'release', rules: [waits(a)] }, { name: 'production', promote: 'release', rollback: 'release', rules: [waits(b)] }] });
  assert.deepEqual(found(two('production', 'staging')).map((one) => one.split(':')[0]), ['error staging', 'error production']);
  const known = { environments: ['staging', 'production'] };
  only(gate(clean), /error staging: the server runs it, and the policy leaves it out/, known);
  const other = { ...gate(clean), environments: [{ name: 'prodction', promote: 'release', rollback: 'release', rules: [clean] }] };
  assert.match(found(other, { environments: ['production'] }).join(), /error prodction: the server has no such environment.*Did you mean "production"/);
  only(gate(clean), /error version: version 1 cannot follow version 1/, { before: { policy: gate(clean), digest: policyDigest(gate(clean)), logIndex: 0 } });
});

test('rules that say nothing are found: shadowed, always true, never true, named twice', () => {
  only(gate({ kind: 'approvals', role: 'release', threshold: 1, blocksRollback: false }, { kind: 'approvals', role: 'release', threshold: 2, blocksRollback: false }), /warning production: approvals release: says nothing/);
  only(gate(clean, clean), /says nothing/);
  only(gate({ ...clean, blocksRollback: true }, clean), /says nothing/);
  assert.deepEqual(found(gate(clean, { ...clean, blocksRollback: true })), []);
  only(gate(cel('1 < 2')), /warning .*always true: the rule says nothing/);
  only(gate(cel("'a' == 'b'")), /error .*never true: the rule lets nothing in/);
  only(gate(cel('release.clean || 1 == 1')), /the part 1 == 1 is always true/);
  only(gate(cel('release.clean'), cel('!release.clean')), /two rules have this name/);
  only(gate(cel('release.clean', 'sbom')), /a rule of this name is built in/);
});

test('an expression that does not type, costs too much or names who is not there is found, with the nearest name', () => {
  only(gate(cel('relase.clean')), /error production: gate: there is no "relase" \| Did you mean "release"\?/);
  only(gate(cel('packages.all(p, packages.exists(q, p.name == q.name))')), /error .*steps with 5000 packages/);
  only(gate(cel("approvals.exists(a, a.by == 'evee')")), /warning .*a\.by is never 'evee' \| Did you mean "eve"\?/);
  only(gate(cel("tests.all(t, 'bilder' in t.roles)")), /Did you mean "builder"\?/);
  only(gate(cel("soak['staging'] > duration('1h')")), /soak is never 'staging' \| It can be: production/);
  only(gate(cel("vulnerabilities.all(v, !(v.severity in ['high', 'CRITICAL']))")), /Did you mean "critical"\?/);
});

test('keys that expired, are valid never or are none of theirs are found', () => {
  const withKey = (validity: object): Policy => ({ ...gate(clean), people: people.map((one) => (one.name === 'dan' ? { ...one, validity } : one)) as Policy['people'] });
  assert.deepEqual(found(withKey({ [keyOf('dan')]: { until: '2026-01-01T00:00:00Z' } })).map((one) => one.split(' | ')[0]?.replace(/the key \S+/, 'the key')), ['warning dan: the key has expired at 2026-01-01T00:00:00Z', 'warning dan: has no key that can sign any more']);
  only(withKey({ [keyOf('dan')]: { from: '2028-01-01T00:00:00Z', until: '2027-01-01T00:00:00Z' } }), /which is never/);
  only(withKey({ [keyOf('eve')]: { until: '2027-01-01T00:00:00Z' } }), /none of theirs/);
});

test('a policy file is YAML or JSON, needs only what cannot be told, and means one canonical policy', () => {
  const { kind, version, ...rest } = gate(clean);
  assert.deepEqual([kind, version], ['policy', 1]);
  const file = { ...rest, environments: [{ ...rest.environments[0], rules: [{ kind: 'clean' }] }] };
  for (const text of [stringify(file), JSON.stringify(file)]) assert.deepEqual(readPolicyFile(text, 'policy.yaml', undefined), gate(clean));
  const before = { policy: gate(clean), digest: policyDigest(gate(clean)) };
  const next = readPolicyFile(stringify(file), 'policy.yaml', before);
  assert.deepEqual([next.version, next.previous], [2, before.digest]);
});

test('what a policy file must not hold is refused with its line and the nearest name', () => {
  const text = stringify(gate(clean));
  const refusal = (changed: string, message: RegExp, fix: RegExp) => {
    assert.notEqual(changed, text);
    assert.throws(() => readPolicyFile(changed, 'policy.yaml', undefined), (error) => error instanceof CairnError && error.code === 'invalid-policy' && message.test(error.message) && fix.test(error.fix ?? ''), changed);
  };
  refusal(text.replace('quorum:', 'qorum:'), /policy\.yaml:\d+:1: unknown key "qorum"/, /"quorum"/);
  refusal(text.replace('threshold:', 'treshold:'), /unknown key "treshold" in quorum\[0\]/, /"threshold"/);
  refusal(text.replace('kind: clean', 'kind: claen'), /unknown kind "claen"/, /"clean"/);
  refusal(text.replace('kind: clean', 'kind: clean\n        minuts: 3'), /unknown key "minuts"/, /Known here: kind, blocksRollback/);
  refusal(text.replace('kind: clean', 'kind: soak\n        environment: production\n        minuts: 3'), /unknown key "minuts"/, /"minutes"/);
  refusal(text.replace('name: dan', 'name: ada'), /two people are called ada/, /./);
  refusal(`${text}kind: policy\n`, /policy\.yaml:\d+:\d+: Map keys must be unique/, /./);
  refusal(`a: &a [x]\nb: &b [${'*a,'.repeat(200)}]\n${text}`, /cannot be read/, /aliases/);
  refusal('[', /policy\.yaml:1/, /Mend/);
  for (const deep of ['['.repeat(20_000), '{a: '.repeat(20_000), '? '.repeat(20_000), '- '.repeat(20_000), '?\t'.repeat(20_000)]) refusal(deep, /nested too deep/, /Mend/);
});

test('requireSound refuses errors and lets warnings through', () => {
  requireSound(checkPolicy(gate(clean, clean), { now }));
  assert.throws(() => requireSound(checkPolicy(gate(cel('relase.clean'), cel('1', 'two')), { now })), { code: 'invalid-policy', fix: /release/ });
});

test('a policy that is parsed is the one that was written, whatever is in it', () => {
  const name = fc.stringMatching(/^[a-z0-9][a-z0-9-]{0,10}$/);
  const role = fc.constantFrom('builder', 'release', 'security');
  const person = fc.record({ name, roles: fc.uniqueArray(role, { minLength: 1 }), keys: fc.uniqueArray(fc.uint8Array({ minLength: 3, maxLength: 12 }).filter(([first]) => first !== 0x30).map((bytes) => Buffer.from(bytes).toString('base64')), { minLength: 1, maxLength: 2 }) });
  const rule: fc.Arbitrary<Rule> = fc.oneof(
    fc.record({ kind: fc.constant('clean' as const), blocksRollback: fc.boolean() }), fc.record({ kind: fc.constant('tests' as const), role, blocksRollback: fc.boolean() }),
    fc.record({ kind: fc.constant('approvals' as const), role, threshold: fc.integer({ min: 1, max: 9 }), blocksRollback: fc.boolean() }),
    fc.record({ kind: fc.constant('cel' as const), name, expression: fc.string({ minLength: 1, maxLength: 80 }), blocksRollback: fc.boolean() }),
  );
  const policy = fc.record({
    people: fc.uniqueArray(person, { minLength: 1, maxLength: 4, selector: (one) => one.name }).filter((all) => new Set(all.flatMap(({ keys }) => keys)).size === all.flatMap(({ keys }) => keys).length),
    rules: fc.array(rule, { minLength: 1, maxLength: 4 }), quorum: fc.array(fc.record({ role, threshold: fc.integer({ min: 1, max: 3 }) }), { minLength: 1, maxLength: 2 }),
  }).map(({ people: all, rules, quorum }) => policyOf(rules, { people: all, quorum }));
  fc.assert(fc.property(policy.map((one) => structuredClone(JSON.parse(JSON.stringify(one)) as Policy)), (one) => {
    const bytes = canonicalJson(one);
    assert.deepEqual(parsePolicy(bytes), one);
    assert.deepEqual(canonicalJson(readPolicyFile(stringify(one), 'policy.yaml', undefined)), bytes);
    // The check finds fault and never falls over, whatever stands in an expression.
    for (const { level, fix } of checkPolicy(one, { now })) assert.ok(level === 'error' || level === 'warning', fix);
  }), { numRuns: 60 });
});

test('bytes that are not a policy are refused and never crash', () => {
  const bytes = canonicalJson(policyOf([clean]));
  fc.assert(fc.property(fc.nat(bytes.byteLength - 1), fc.nat(255), fc.string(), (at, value, text) => {
    const changed = Buffer.from(bytes);
    changed[at] = value;
    for (const one of [changed, Buffer.from(text), bytes.subarray(0, at)]) {
      try {
        const parsed = parsePolicy(one);
        assert.deepEqual(canonicalJson(parsed), one);
      } catch (error) {
        assert.ok(error instanceof CairnError && error.code === 'malformed-document', String(error));
      }
    }
  }), { numRuns: 200 });
  assert.throws(() => parsePolicy(Buffer.from(bytes.toString('utf8').replace('"kind"', '"kind":"policy","kind"'))), { code: 'malformed-document' });
});

test('whatever is written in an expression is decided, refused or a failed rule', () => {
  const pieces = fc.constantFrom('packages', '.all(p, ', 'p.name', "'a'", '==', '(', ')', '&&', '!', 'release', '.clean', '[', ']', '0', '?', ':', 'now', '-', 'size()', '.', 'true', '<', 'in', 'duration("1h")');
  fc.assert(fc.property(fc.array(pieces, { maxLength: 14 }), (parts) => {
    const expression = parts.join(' ') || 'x';
    try {
      decide(policyOf([cel(expression)]), evidence, question);
    } catch (error) {
      assert.ok(error instanceof CairnError && error.code === 'invalid-policy', `${expression}: ${String(error)}`);
    }
  }), { numRuns: 400 });
});
