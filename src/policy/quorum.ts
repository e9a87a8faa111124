import type { Person, Policy } from './policy.ts';

/** A place of the quorum that nobody fills, and who could. */
export interface OpenPlace {
  readonly role: string;
  readonly people: readonly string[];
}

/**
 * The places that stay open when as many as can be are filled, nobody filling two: one person with two roles is one of them. Machines
 * fill none. Found by augmenting paths, so that whoever can only do one thing is never in the way of it.
 */
export function openPlaces(policy: Policy, signers: readonly Person[]): OpenPlace[] {
  const places = policy.quorum.flatMap(({ role, threshold }) => Array.from({ length: Math.min(threshold, policy.people.length + 1) }, () => role));
  const people = [...new Map(signers.filter(({ machine }) => machine !== true).map((one) => [one.name, one])).values()];
  const heldBy = new Map<number, Person>();
  const seat = (person: Person, tried: Set<number>): boolean => {
    for (const [at, role] of places.entries()) {
      if (tried.has(at) || !person.roles.includes(role)) continue;
      tried.add(at);
      const holder = heldBy.get(at);
      if (holder === undefined || seat(holder, tried)) {
        heldBy.set(at, person);
        return true;
      }
    }
    return false;
  };
  for (const person of people) seat(person, new Set());
  const seated = new Set([...heldBy.values()].map(({ name }) => name));
  const could = (role: string) => policy.people.filter(({ name, roles, machine }) => machine !== true && roles.includes(role) && !seated.has(name)).map(({ name }) => name);
  return places.flatMap((role, at) => (heldBy.has(at) ? [] : [{ role, people: could(role) }]));
}

/** Whether the signature of this person can ever fill a place. */
export function isOfQuorum(policy: Policy, person: Person): boolean {
  return person.machine !== true && policy.quorum.some(({ role }) => person.roles.includes(role));
}
