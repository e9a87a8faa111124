import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decide, type Evidence, type EvidenceStatement, type Person, type Policy, type Rule } from '#policy';
import { approves, built, evidence, keyOf, now, people, policyOf, question, release, statement } from './fixture.ts';

// Rules that count people: who is one, who is none, and who is one only at other times.

type Facts = Partial<Evidence>;
function judge(rule: Rule, statements: readonly EvidenceStatement[], more: { by?: string; people?: Policy['people']; facts?: Facts } = {}) {
  const policy = policyOf([rule], { people: more.people ?? people });
  return decide(policy, { ...evidence, statements, ...more.facts }, { ...question, by: more.by ?? 'dan' }).rules.find((one) => one.rule === rule.kind);
}
const approvals = (threshold: number, independent?: true): Rule => ({ kind: 'approvals', role: 'release', threshold, blocksRollback: false, ...(independent && { independent }) });
const by = (key: string) => ({ signer: { kind: 'key', key: keyOf(key) } as const });

test('one person with two keys is one person', () => {
  const twice = [statement('eve', approves('eve')), statement('eve', approves('eve'), { ...by('eve2'), logIndex: 2 })];
  assert.equal(judge(approvals(2), twice)?.passed, false);
  assert.equal(judge(approvals(2), [...twice, statement('rex', approves('rex'), { logIndex: 3 })])?.passed, true);
  const rebuilt: Rule = { kind: 'rebuilt', role: 'builder', threshold: 2, blocksRollback: false };
  const two: Policy['people'] = people.map((one): Person => (one.name === 'ada' ? { ...one, keys: [keyOf('ada'), keyOf('ada2')] } : one));
  const builds = [statement('ada', built('ada')), statement('ada', built('ada'), { ...by('ada2'), logIndex: 2 })];
  assert.equal(judge(rebuilt, builds, { people: two })?.passed, false);
});

test('one signature twice is one', () => {
  const one = statement('rex', approves('rex'));
  assert.equal(judge(approvals(2), [one, one, { ...one, logIndex: 9 }])?.passed, false);
});

test('self-approval where the policy forbids it: neither who asks nor who built is one of the people', () => {
  const made = statement('ada', built('ada'));
  const own = [made, statement('ada', approves('ada'), { logIndex: 2 })];
  assert.equal(judge(approvals(1), own)?.passed, true);
  assert.equal(judge(approvals(1, true), own)?.passed, false);
  assert.match(judge(approvals(1, true), own)?.nearest ?? '', /is by ada, who built the release or asks for it/);
  // Who asks is one of those who want it, unless eyes of others are asked for.
  assert.equal(judge(approvals(1), [], { by: 'rex' })?.passed, true);
  assert.equal(judge(approvals(1, true), [statement('rex', approves('rex'))], { by: 'rex' })?.passed, false);
  assert.equal(judge(approvals(1, true), [made, statement('eve', approves('eve'), { logIndex: 2 })], { by: 'rex' })?.passed, true);
  // Also by a key that has been revoked since: it built all the same.
  const revoked = { revokedKeys: [{ key: keyOf('ada'), after: null, by: 'eve', reason: 'lost' }] };
  const other: Policy['people'] = people.map((one): Person => (one.name === 'ada' ? { ...one, keys: [keyOf('ada'), keyOf('ada2')] } : one));
  assert.equal(judge(approvals(1, true), [made, statement('ada', approves('ada'), { ...by('ada2'), logIndex: 2 })], { people: other, facts: revoked })?.passed, false);
});

test('an expired approval counts no more from the second that it names', () => {
  const until = (expires: number) => judge(approvals(1), [statement('rex', approves('rex', { expires }))]);
  assert.equal(until(now + 1)?.passed, true);
  assert.equal(until(now)?.passed, false);
  assert.match(until(now - 1)?.nearest ?? '', /by rex has expired/);
});

test('a key outside its validity by one second does not count, on both sides', () => {
  const at = (seconds: number) => new Date(seconds * 1000).toISOString().replace('.000Z', 'Z');
  const bounded: Policy['people'] = people.map((one): Person => (one.name === 'rex' ? { ...one, validity: { [keyOf('rex')]: { from: at(now - 100), until: at(now - 50) } } } : one));
  const signedAt = (time: number) => judge(approvals(1), [statement('rex', approves('rex'), { time })], { people: bounded });
  assert.equal(signedAt(now - 101)?.passed, false);
  assert.match(signedAt(now - 101)?.nearest ?? '', /valid from/);
  assert.equal(signedAt(now - 100)?.passed, true);
  assert.equal(signedAt(now - 50)?.passed, true);
  assert.equal(signedAt(now - 49)?.passed, false);
  assert.match(signedAt(now - 49)?.nearest ?? '', /was valid until/);
});

test('a revoked key does not count behind the entry that its revocation names, and one revoked for all time nowhere', () => {
  const after = (entry: number | null) => judge(approvals(1), [statement('rex', approves('rex'), { logIndex: 7 })], { facts: { revokedKeys: [{ key: keyOf('rex'), after: entry, by: 'eve', reason: 'stolen' }] } });
  assert.equal(after(7)?.passed, true);
  assert.equal(after(6)?.passed, false);
  assert.match(after(6)?.nearest ?? '', /that eve revoked after log entry 6/);
  assert.equal(after(null)?.passed, false);
});

test('a machine is no person, and nobody is told to ask one', () => {
  const said = judge(approvals(1), [statement('robot', approves('robot'))]);
  assert.equal(said?.passed, false);
  assert.match(said?.nearest ?? '', /robot, a machine/);
  assert.doesNotMatch(said?.fix ?? '', /robot/);
  assert.equal(judge(approvals(1), [], { by: 'robot' })?.passed, false);
});

test('a release is rebuilt when so many builders, machines among them, vouch for exactly this one', () => {
  const rule: Rule = { kind: 'rebuilt', role: 'builder', threshold: 2, blocksRollback: false };
  const [ada, robot] = [statement('ada', built('ada')), statement('robot', built('robot'), { logIndex: 2 })];
  assert.equal(judge(rule, [ada, robot])?.passed, true);
  assert.equal(judge(rule, [ada, robot])?.found, '2 of 2 builders got the same digest (ada, robot)');
  assert.equal(judge(rule, [ada, { ...robot, subjects: [keyOf('another') as typeof release] }])?.passed, false);
  assert.match(judge(rule, [ada, statement('robot', built('robot', { commit: 'badcafe' }), { logIndex: 2 })])?.nearest ?? '', /names commit badcafe/);
  // Who signs for a builder with another name is not that builder.
  assert.match(judge(rule, [ada, statement('robot', built('ada'), { logIndex: 2 })])?.nearest ?? '', /but is signed by robot/);
  assert.match(judge(rule, [ada, statement('dan', built('dan'), { logIndex: 2 })])?.nearest ?? '', /dan, who is no builder/);
  assert.match(judge(rule, [ada])?.fix ?? '', /^robot, on a machine of their own, at c0ffee1: cairn release/);
});

test('witnesses count by the names of the policy, each once, on a checkpoint that covers what is weighed', () => {
  const rule: Rule = { kind: 'witnessed', threshold: 2, blocksRollback: false };
  const key = 'w1.example+00000000+AAAA';
  const policy = policyOf([rule], { witnesses: [{ name: 'w1.example', key, url: 'https://w1.example' }, { name: 'w2.example', key: key.replaceAll('w1', 'w2'), url: 'https://w2.example' }] });
  const seen = (size: number, ...witnesses: string[]) => decide(policy, { ...evidence, statements: [statement('ada', built('ada'), { logIndex: 7 })], witnessed: { size, witnesses } }, question).rules.find((one) => one.rule === 'witnessed')?.passed;
  assert.equal(seen(8, 'w1.example', 'w2.example'), true);
  assert.equal(seen(7, 'w1.example', 'w2.example'), false);
  assert.equal(seen(8, 'w1.example', 'w1.example'), false);
  assert.equal(seen(8, 'w1.example', 'stranger.example'), false);
});

test('identities are compared to the letter', () => {
  const identified: Policy['people'] = [...people, { name: 'ci', roles: ['builder'], keys: [], identities: [{ issuer: 'https://issuer.example', subject: 'repo:a/b:ref:refs/heads/main' }], machine: true }];
  const rule: Rule = { kind: 'provenance', role: 'builder', blocksRollback: false };
  const from = (issuer: string, subject: string) => judge(rule, [statement('ci', built('ci'), { signer: { kind: 'identity', issuer, subject } })], { people: identified })?.passed;
  assert.equal(from('https://issuer.example', 'repo:a/b:ref:refs/heads/main'), true);
  assert.equal(from('https://issuer.example/', 'repo:a/b:ref:refs/heads/main'), false);
  assert.equal(from('https://issuer.example', 'repo:a/b:ref:refs/heads/main2'), false);
  assert.equal(from('https://issuer.example', 'repo:a/b'), false);
});
