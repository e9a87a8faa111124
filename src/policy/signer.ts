import type { Facts } from '#attest';
import type { EvidenceSigner, EvidenceStatement } from './evidence.ts';
import type { Person, Policy } from './policy.ts';

/** The person whom the policy knows by what signed. Identities are compared to the letter: no pattern, no prefix. */
export function holderOf(policy: Policy, signer: EvidenceSigner): Person | undefined {
  if (signer.kind === 'key') return policy.people.find((one) => one.keys.includes(signer.key));
  return policy.people.find((one) => one.identities?.some(({ issuer, subject }) => issuer === signer.issuer && subject === signer.subject) === true);
}

/** Who signed, and what speaks against the signature at its place and time in the log; undefined where nothing does. */
export function judgeSigner(policy: Policy, { revokedKeys }: { readonly revokedKeys: readonly Facts['revokedKeys'][number][] }, one: Pick<EvidenceStatement, 'signer' | 'logIndex' | 'time'>): { person: Person | undefined; complaint: string | undefined } {
  const { signer, logIndex, time } = one;
  const person = holderOf(policy, signer);
  if (person === undefined) return { person, complaint: signer.kind === 'key' ? 'is signed by a key that the policy does not know' : `is signed by ${signer.subject} of ${signer.issuer}, whom the policy does not know` };
  if (signer.kind !== 'key') return { person, complaint: undefined };
  const revocation = revokedKeys.find(({ key, after }) => key === signer.key && (after === null || logIndex > after));
  if (revocation !== undefined) return { person, complaint: `is signed by a key of ${person.name} that ${revocation.by} revoked${revocation.after === null ? '' : ` after log entry ${revocation.after}`}` };
  const { from, until } = person.validity?.[signer.key] ?? {};
  if (from !== undefined && time < Date.parse(from) / 1000) return { person, complaint: `is signed by a key of ${person.name} that is valid from ${from}` };
  if (until !== undefined && time > Date.parse(until) / 1000) return { person, complaint: `is signed by a key of ${person.name} that was valid until ${until}` };
  return { person, complaint: undefined };
}
