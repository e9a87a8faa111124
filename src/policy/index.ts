// policy: who may do what and what an environment asks for; decide() is pure.
export { decide, type Decision } from './decide.ts';
export type { BilledPackage, Evidence, EvidenceSigner, EvidenceStatement, Question, Says, Severity, Vulnerability } from './evidence.ts';
export { environmentOf, parsePolicy, personOf, policyDigest, type Environment, type Freeze, type Person, type Policy, type Rule, type Witness } from './policy.ts';
export { findPackage, packageIdentity } from './packages.ts';
export { holderOf, judgeSigner } from './signer.ts';
