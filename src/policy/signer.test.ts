import assert from 'node:assert/strict';
import { test } from 'node:test';
import { canonicalJson } from '#core';
import { holderOf, judgeSigner, parsePolicy } from '#policy';

const [laptop, desk] = ['bGFwdG9w', 'ZGVzaw=='];
const [from, until] = ['2026-03-01T00:00:00Z', '2026-06-01T00:00:00Z'];
const identity = { issuer: 'https://token.actions.githubusercontent.com', subject: 'https://github.com/acme/shop/.github/workflows/release.yml@refs/heads/main' };
const policy = parsePolicy(canonicalJson({
  kind: 'policy', version: 1,
  people: [{ name: 'ada', roles: ['developer'], keys: [laptop, desk], validity: { [laptop]: { from, until } } }, { name: 'ci', roles: ['builder'], keys: [], identities: [identity], machine: true }],
  environments: [{ name: 'production', promote: 'developer', rollback: 'developer', rules: [{ kind: 'clean', blocksRollback: false }] }],
  quorum: [{ role: 'developer', threshold: 1 }],
}));
const seconds = (time: string) => Date.parse(time) / 1000;
const complaint = (key: string, time: number) => judgeSigner(policy, { revokedKeys: [] }, { signer: { kind: 'key', key }, logIndex: 9, time }).complaint;

test("a person's key outside its validity by one second counts for nothing, on both sides, and both ends count", () => {
  assert.match(complaint(laptop, seconds(from) - 1) ?? '', /valid from 2026-03-01/);
  assert.equal(complaint(laptop, seconds(from)), undefined);
  assert.equal(complaint(laptop, seconds(until)), undefined);
  assert.match(complaint(laptop, seconds(until) + 1) ?? '', /valid until 2026-06-01/);
  assert.equal(complaint(desk, seconds(until) + 1), undefined, 'the other key of the same person has no end');
});

test('an identity is a person for exactly its issuer and its subject', () => {
  assert.equal(holderOf(policy, { kind: 'identity', ...identity })?.name, 'ci');
  for (const near of [{ ...identity, subject: `${identity.subject}x` }, { ...identity, subject: identity.subject.slice(0, -1) }, { ...identity, issuer: `${identity.issuer}/` }, { ...identity, subject: '.*' }]) assert.equal(holderOf(policy, { kind: 'identity', ...near }), undefined);
  assert.equal(holderOf(policy, { kind: 'key', key: identity.subject }), undefined);
});
