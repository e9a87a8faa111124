import assert from 'node:assert/strict';
import { test } from 'node:test';
import { keyOf, people, policyOf } from './fixture.ts';
import { lockedOut } from './lockout.ts';

const policy = policyOf([{ kind: 'clean', blocksRollback: false }], { quorum: [{ role: 'release', threshold: 2 }, { role: 'security', threshold: 1 }] });
const revoked = (...names: string[]) => names.map((name) => ({ key: keyOf(name) }));

test('what nobody could do any more is told: change the policy, revoke, promote', () => {
  assert.deepEqual(lockedOut(policy, []), []);
  // eve has another key.
  assert.deepEqual(lockedOut(policy, revoked('eve')), []);
  assert.deepEqual(lockedOut(policy, revoked('eve', 'eve2')), ['nobody could change the policy: nobody would be left for security of its quorum']);
  assert.match(lockedOut(policy, revoked('ada', 'rex')).join(), /nobody would be left for release, (release|security) of its quorum/);
  assert.deepEqual(lockedOut(policy, revoked('ada', 'rex', 'eve', 'eve2')).map((one) => one.split(':')[0]), ['nobody could change the policy', 'nobody could revoke anything', 'nobody could promote into production']);
});

test('a person who signs by identity is never locked out by a key', () => {
  const named = people.map((one) => ({ ...one, identities: [{ issuer: 'https://idp.example.com', subject: one.name }] }));
  assert.deepEqual(lockedOut({ ...policy, people: named }, people.flatMap(({ keys }) => keys.map((key) => ({ key })))), []);
});
