import assert from 'node:assert/strict';
import { test } from 'node:test';
import { canonicalJson } from '#core';
import { formatVkey, noteKey } from '#log';
import { generateSigner } from '#sign';
import { decide } from './decide.ts';
import { evidence, people, policyOf, question, release, statement, built } from './fixture.ts';
import { parsePolicy, type Policy } from './policy.ts';

const keys = [generateSigner('ed25519'), generateSigner('ed25519'), generateSigner('ed25519')] as const;
const witness = (name: string, which: 0 | 1 | 2, algorithm: 1 | 4 = 4) => ({ name, key: formatVkey(noteKey(`${name}.example.com`, algorithm, keys[which].publicKey)), url: 'https://w.example.com/' });
const witnesses = [witness('one', 0), witness('two', 1), witness('three', 2)];
const policy = policyOf([{ kind: 'witnessed', threshold: 2, blocksRollback: false }], { witnesses });
const weighed = { ...evidence, statements: [statement('ada', built('ada'), { logIndex: 9 })] };
const judged = (seen: Partial<typeof evidence>, of: Policy = policy) => decide(of, { ...weighed, ...seen }, question).rules.find(({ rule }) => rule === 'witnessed');
const read = (change: Partial<Policy>) => parsePolicy(canonicalJson({ ...policyOf([{ kind: 'witnessed', threshold: 1, blocksRollback: false }]), people, ...change }));

test('enough distinct witnesses over everything that is weighed let a release in', () => {
  assert.equal(judged({ witnessed: { size: 10, witnesses: ['one', 'two'] } })?.passed, true);
  assert.equal(release, weighed.release);
});

test('a checkpoint that leaves out the newest statement that is weighed counts for nothing, by one entry', () => {
  const rule = judged({ witnessed: { size: 9, witnesses: ['one', 'two'] } });
  assert.deepEqual([rule?.passed, rule?.nearest, rule?.cause], [false, '9 entries are witnessed, entry 9 is weighed', 'unmet']);
});

test('one witness twice counts once, and one whom the policy does not name not at all', () => {
  assert.match(judged({ witnessed: { size: 10, witnesses: ['one', 'one'] } })?.found ?? '', /^1 of 2 witnesses/);
  assert.match(judged({ witnessed: { size: 10, witnesses: ['one', 'stranger'] } })?.found ?? '', /^1 of 2 witnesses/);
});

test('nobody there, one that does not answer and one that turns us down are three things', () => {
  const source = (state: 'unreachable' | 'throttled') => ({ name: 'two', state, detail: 'why' });
  assert.deepEqual([judged({})?.cause, judged({ sources: [source('unreachable')] })?.cause, judged({ sources: [source('throttled')] })?.cause], ['absent', 'unreachable', 'throttled']);
  assert.equal(judged({ sources: [source('throttled')] })?.nearest, 'two is throttled: why');
});

test('a policy in which two witnesses share a key or a name is refused: who would count twice vouches once', () => {
  const refused = (message: RegExp) => ({ code: 'malformed-document', message });
  assert.ok(read({ witnesses }));
  assert.throws(() => read({ witnesses: [witness('one', 0), witness('other', 0)] }), refused(/two witnesses have the key/));
  assert.throws(() => read({ witnesses: [witness('one', 0), { ...witness('one', 1) }] }), refused(/two witnesses are called one/));
});

test('a witness whose key is none, signs notes, or is asked over another protocol is refused', () => {
  const refused = { code: 'malformed-document' };
  assert.throws(() => read({ witnesses: [{ ...witness('one', 0), key: 'one.example.com+00000000+AAAA' }] }), refused);
  assert.throws(() => read({ witnesses: [witness('one', 0, 1)] }), refused);
  assert.throws(() => read({ witnesses: [{ ...witness('one', 0), url: 'file:///etc/passwd' }] }), refused);
  assert.throws(() => read({ witnesses: Array.from({ length: 17 }, (_, at) => ({ ...witness('w', 0), name: `w${at}`, key: formatVkey(noteKey('w', 4, generateSigner('ed25519').publicKey)) })) }), refused);
});
