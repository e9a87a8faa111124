import { parseStatement, payloadOf, type Statement } from '#attest';
import { CairnError } from '#core';
import { judgeSigner, mayRevoke, type Person, type Policy } from '#policy';
import type { Ledger, RevokedKey, SignedStatement } from './ports.ts';

/** Who may write now: the policy in force, the keys that were revoked, and the time. */
export interface Authority {
  readonly policy: Policy;
  readonly revokedKeys: readonly RevokedKey[];
  /** Seconds since 1970. */
  readonly time: number;
}

export async function authorityOf(ledger: Ledger, now: Date): Promise<Authority> {
  const [policy, { keys }] = await Promise.all([ledger.policy(), ledger.revocations()]);
  return { policy, revokedKeys: keys, time: Math.floor(now.getTime() / 1000) };
}

/**
 * The person whose key signed, as of a statement that would be logged now. A key that was revoked after any entry of the log writes nothing
 * more, one outside its validity nothing either. @throws CairnError `unauthorized`
 */
export function requireWriter(signed: Pick<SignedStatement, 'key'>, { policy, revokedKeys, time }: Authority): Person {
  const { person, complaint } = judgeSigner(policy, { revokedKeys }, { signer: { kind: 'key', key: signed.key }, logIndex: Number.MAX_SAFE_INTEGER, time });
  if (person !== undefined && complaint === undefined) return person;
  const revoked = revokedKeys.some(({ key }) => key === signed.key);
  throw new CairnError('unauthorized', `the statement ${complaint ?? 'is signed by nobody'}`, {
    fix: revoked ? 'Make another key (cairn key new), and have the policy changed so that it knows it' : 'Sign with a key of the policy',
    ...(revoked && { context: { reason: 'key-revoked' } }),
  });
}

/** That who signed is who the statement says. @throws CairnError `unauthorized` */
export function requireSigner(signed: Pick<SignedStatement, 'key'>, by: string, authority: Authority): Person {
  const person = requireWriter(signed, authority);
  if (person.name !== by) throw new CairnError('unauthorized', `the statement says it is by ${by}, its key says otherwise`, { fix: 'Sign with your own key' });
  return person;
}

/** @throws CairnError `unauthorized` where the person has none of the roles that may revoke */
export function requireGuardian(person: Person, policy: Policy, what: string): void {
  const roles = mayRevoke(policy);
  if (person.machine !== true && roles.some((role) => person.roles.includes(role))) return;
  throw new CairnError('unauthorized', `${person.name} may not ${what}`, { fix: `Ask someone with the role ${roles.join(' or ')}: ${guardians(policy).join(', ')}` });
}

export function guardians(policy: Policy): string[] {
  return policy.people.filter(({ roles, machine }) => machine !== true && mayRevoke(policy).some((role) => roles.includes(role))).map(({ name }) => name);
}

export function statementOf(signed: SignedStatement): Statement {
  return parseStatement(payloadOf(signed.envelope));
}
