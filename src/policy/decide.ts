import type { RuleResult } from '#attest';
import { type Digest } from '#core';
import type { Evidence, Question } from './evidence.ts';
import { judgeQuarantine, judgeRevocation, judgeSchema } from './always.ts';
import { environmentOf, type Policy, type Rule } from './policy.ts';
import { judgeApprovals, judgeClean, judgeConfirmed, judgeProvenance, judgeSbom, judgeSoak, judgeTests } from './rules.ts';

export interface Decision {
  readonly passed: boolean;
  readonly rules: readonly RuleResult[];
  /** The envelopes that the rules rest on. */
  readonly evidence: readonly Digest[];
}

export interface Judged {
  readonly result: RuleResult;
  readonly evidence: readonly Digest[];
}

/**
 * The gate. Pure: the same policy, evidence and question give the same decision years later. On the way back only rules that
 * say `blocksRollback` stop it: a rule that fails today must never take away the only way out of an incident. Revocation and
 * a data schema that does not fit always stop it.
 */
export function decide(policy: Policy, evidence: Evidence, question: Question): Decision {
  const environment = environmentOf(policy, question.environment);
  const judged = [
    ...(question.direction === 'promote' ? [judgeQuarantine(evidence, question)] : []),
    ...judgeRevocation(evidence),
    ...environment.rules.map((rule) => judge(policy, rule, evidence, question)),
    ...judgeSchema(evidence, question),
  ];
  const binding = judged.filter(({ result }) => question.direction === 'promote' || result.blocksRollback);
  return {
    passed: binding.every(({ result }) => result.passed),
    rules: judged.map(({ result }) => result),
    evidence: [...new Set(judged.flatMap(({ evidence: used }) => used))],
  };
}

function judge(policy: Policy, rule: Rule, evidence: Evidence, question: Question): Judged {
  switch (rule.kind) {
    case 'provenance':
      return judgeProvenance(policy, rule, evidence);
    case 'sbom':
      return judgeSbom(policy, rule, evidence);
    case 'tests':
      return judgeTests(policy, rule, evidence);
    case 'clean':
      return judgeClean(rule, evidence);
    case 'confirmed-in':
      return judgeConfirmed(rule, evidence, question);
    case 'soak':
      return judgeSoak(rule, evidence, question);
    case 'approvals':
      return judgeApprovals(policy, rule, evidence, question);
    default:
      return rule satisfies never;
  }
}
