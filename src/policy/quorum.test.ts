import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { openPlaces, type Person, type Policy } from '#policy';
import { keyOf, policyOf } from './fixture.ts';

const roles = ['developer', 'security', 'release'];
const person = (name: string, held: readonly string[], machine = false): Person => ({ name, roles: [...held], keys: [keyOf(name)], ...(machine && { machine: true as const }) });
const policyWith = (people: readonly Person[], quorum: Policy['quorum']): Policy => policyOf([{ kind: 'clean', blocksRollback: false }], { people: [...people], quorum });

test('nobody fills two places, and whoever can do one thing only is never in the way of it', () => {
  const [all, dev] = [person('all', roles), person('dev', ['developer'])];
  const policy = policyWith([all, dev], [{ role: 'developer', threshold: 1 }, { role: 'security', threshold: 1 }]);
  assert.deepEqual(openPlaces(policy, [all]).length, 1);
  assert.deepEqual(openPlaces(policy, [all, all]).length, 1);
  assert.deepEqual(openPlaces(policy, [all, dev]), []);
  assert.deepEqual(openPlaces(policy, [dev, all]), []);
  assert.deepEqual(openPlaces(policy, [dev]), [{ role: 'security', people: ['all'] }]);
});

test('machines fill no place', () => {
  const robot = person('robot', roles, true);
  assert.deepEqual(openPlaces(policyWith([robot, person('ada', ['release'])], [{ role: 'release', threshold: 1 }]), [robot]), [{ role: 'release', people: ['ada'] }]);
});

test('a threshold that nobody can reach takes no memory to find out', () => {
  assert.equal(openPlaces(policyWith([person('ada', roles)], [{ role: 'release', threshold: 2 ** 40 }]), []).length, 2);
});

/** Every way to seat people, one after another. */
function canFill(places: readonly string[], people: readonly Person[]): boolean {
  const [role, ...rest] = places;
  return role === undefined || people.some((one, at) => one.machine !== true && one.roles.includes(role) && canFill(rest, people.filter((_, other) => other !== at)));
}

test('the quorum is met exactly where some way of seating people meets it', () => {
  const someone = fc.record({ held: fc.subarray(roles), machine: fc.boolean() });
  const wanted = fc.uniqueArray(fc.record({ role: fc.constantFrom(...roles), threshold: fc.integer({ min: 1, max: 2 }) }), { minLength: 1, maxLength: 3, selector: ({ role }) => role });
  fc.assert(fc.property(fc.array(someone, { minLength: 1, maxLength: 5 }), wanted, (given, quorum) => {
    const people = given.map(({ held, machine }, at) => person(`p${at}`, held, machine && at % 2 === 0));
    const places = quorum.flatMap(({ role, threshold }) => Array.from({ length: threshold }, () => role));
    assert.equal(openPlaces(policyWith(people, quorum), people).length === 0, canFill(places, people));
  }), { numRuns: 500 });
});
