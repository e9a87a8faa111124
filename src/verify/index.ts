// verify: from a bundle, a trust root and nothing else to a statement that was signed and logged.
export { verifyBundle, type Verified, type VerifyOptions } from './bundle.ts';
export { verifyForeign, verifyForeignByAny, type ForeignOptions, type ForeignSigner, type ForeignVerified } from './foreign.ts';
export { claims, foreignDigest, readForeign, type ForeignForm, type ForeignSaid } from './foreign-said.ts';
export { requireIdentity, requirePredicate, requireSubject } from './requirements.ts';
export { seedRoot } from './seed-root.ts';
export { parseSigstoreRoot, parseSigstoreRoots, type SigstoreRoot } from './sigstore-root.ts';
export { currentTrust, withLogKey, parseTrustFile, requireChain, trustBody, trustDigest, verifierOf, type Trust, type TrustFile } from './trust.ts';
