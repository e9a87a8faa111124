import type { Facts } from '#attest';
import type { Person, Policy } from './policy.ts';
import { openPlaces } from './quorum.ts';

/** Roles whose holders may revoke, settle what broken glass left, and look after incidents. */
export function mayRevoke(policy: Policy): readonly string[] {
  return policy.revoke ?? ['security', 'release'];
}

/** Whether a person can still sign anything: an identity, or a key that nobody revoked. A machine decides nothing. */
function canSign(person: Person, revoked: ReadonlySet<string>): boolean {
  return person.machine !== true && (person.identities !== undefined || person.keys.some((key) => !revoked.has(key)));
}

/** What nobody could do any more with those keys revoked, in words; empty where all that the policy asks for can still be done. */
export function lockedOut(policy: Policy, revokedKeys: readonly Pick<Facts['revokedKeys'][number], 'key'>[]): string[] {
  const revoked = new Set(revokedKeys.map(({ key }) => key));
  const able = policy.people.filter((one) => canSign(one, revoked));
  const holds = (role: string) => able.some(({ roles }) => roles.includes(role));
  const open = openPlaces(policy, able);
  return [
    ...(open.length === 0 ? [] : [`nobody could change the policy: nobody would be left for ${open.map(({ role }) => role).join(', ')} of its quorum`]),
    ...(mayRevoke(policy).some(holds) ? [] : ['nobody could revoke anything']),
    ...policy.environments.filter(({ promote }) => !holds(promote)).map(({ name, promote }) => `nobody could promote into ${name}: nobody with the role ${promote} would be left`),
  ];
}
