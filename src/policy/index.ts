// policy: who may do what and what an environment asks for; decide() is pure.
export { countSignatures, isNext, placesText, PolicyChain, readPolicyStatement, staleProposal, type PolicySignature, type PolicyVersion } from './chain.ts';
export { withinPatience } from './cel.ts';
export { checkPolicy, requireSound, type PolicyProblem } from './check.ts';
export { decide, type Decision } from './decide.ts';
export type { BilledPackage, Evidence, EvidenceSigner, EvidenceStatement, Question, Says, Severity, Vulnerability } from './evidence.ts';
export { environmentOf, parsePolicy, personOf, policyDigest, type Environment, type Freeze, type Person, type Policy, type Rule, type Witness } from './policy.ts';
export { factTable } from './facts.ts';
export { policyJsonSchema, readPolicyFile } from './policy-file.ts';
export { lockedOut, mayRevoke } from './lockout.ts';
export { findPackage, packageIdentity } from './packages.ts';
export { isOfQuorum, openPlaces, type OpenPlace } from './quorum.ts';
export { holderOf, judgeSigner } from './signer.ts';
