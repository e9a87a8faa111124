// verify: from a bundle, a trust root and nothing else to a statement that was signed and logged.
export { verifyBundle, type Verified, type VerifyOptions } from './bundle.ts';
export { currentTrust, parseTrustFile, requireChain, trustBody, trustDigest, verifierOf, type Trust, type TrustFile } from './trust.ts';
