import { verificationFailed, type Digest } from '#core';
import { subjectDigests } from '#attest';
import type { ForeignVerified } from './foreign.ts';

/**
 * Whose signature it must be: an identity, to the letter. No pattern and no prefix: `https://github.com/acme/shop` would let in
 * whoever registers `https://github.com/acme/shop-evil`.
 * @throws CairnError `verification-failed`: `issuer-mismatch`, `identity-mismatch`
 */
export function requireIdentity(verified: ForeignVerified, wanted: { readonly issuer: string; readonly subject: string }): void {
  const { signer } = verified;
  if (signer.kind !== 'identity') throw verificationFailed('identity-mismatch', `it is signed by a key, not by ${wanted.subject}`);
  if (signer.issuer !== wanted.issuer) throw verificationFailed('issuer-mismatch', `${signer.issuer} vouches for who signed it, not ${wanted.issuer}`);
  if (signer.subject !== wanted.subject) throw verificationFailed('identity-mismatch', `it is signed by ${signer.subject}, not by ${wanted.subject}`);
}

/** What it must be about. @throws CairnError `verification-failed`: `subject-mismatch` */
export function requireSubject({ content }: ForeignVerified, digest: Digest): void {
  const about = content.kind === 'statement' ? subjectDigests(content.statement) : [content.digest];
  if (!about.includes(digest)) throw verificationFailed('subject-mismatch', `it is about ${about[0]?.slice(0, 19)}, not about ${digest.slice(0, 19)}`);
}

/** What kind of statement it must be. @throws CairnError `verification-failed`: `predicate-mismatch` */
export function requirePredicate({ content }: ForeignVerified, predicateType: string): void {
  const says = content.kind === 'statement' ? content.statement.predicateType : 'a signature';
  if (says !== predicateType) throw verificationFailed('predicate-mismatch', `it says ${says}, not ${predicateType}`);
}
