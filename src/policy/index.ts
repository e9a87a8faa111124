// policy: who may do what and what an environment asks for; decide() is pure.
export { decide, type Decision } from './decide.ts';
export type { Evidence, EvidenceStatement, Question, Says } from './evidence.ts';
export { environmentOf, parsePolicy, personOf, policyDigest, type Person, type Policy, type Rule } from './policy.ts';
