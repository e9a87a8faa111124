// policy: who may do what and what an environment asks for; decide() is pure.
export { decide, type Decision, type Evidence, type EvidenceStatement, type Question } from './decide.ts';
export { environmentOf, parsePolicy, personOf, policyDigest, type Person, type Policy, type Rule } from './policy.ts';
