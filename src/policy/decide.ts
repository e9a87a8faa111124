import type { RuleResult } from '#attest';
import type { Digest } from '#core';
import type { Evidence, Question } from './evidence.ts';
import { judgeDebts, judgeIncidents, judgeQuarantine, judgeRevocation, judgeSchema } from './always.ts';
import { judgeCel } from './judge-cel.ts';
import { environmentOf, type Policy, type Rule } from './policy.ts';
import { judgeApprovals, judgeClean, judgeConfirmed, judgeProvenance, judgeRebuilt, judgeSbom, judgeSoak, judgeTests, judgeWitnessed, type Bench } from './rules.ts';

export interface Decision {
  readonly passed: boolean;
  readonly rules: readonly RuleResult[];
  /** The envelopes that the rules rest on. */
  readonly evidence: readonly Digest[];
  /** Seconds since 1970: until then the same evidence is decided alike; null: for ever. */
  readonly validUntil: number | null;
}

export interface Judged {
  readonly result: RuleResult;
  readonly evidence: readonly Digest[];
  /** Seconds since 1970 at which time alone could change the result. */
  readonly until: number | undefined;
}

/**
 * The gate. Pure: the same policy, evidence and question give the same decision years later. On the way back only rules that
 * say `blocksRollback` stop it: a rule that fails today must never take away the only way out of an incident. Revocation and
 * a data schema that does not fit always stop it.
 */
export function decide(policy: Policy, evidence: Evidence, question: Question): Decision {
  const environment = environmentOf(policy, question.environment);
  const judged = [
    ...(question.direction === 'promote' ? [judgeQuarantine(evidence, question), ...judgeIncidents(evidence), ...judgeDebts(evidence, question)] : []),
    ...judgeRevocation(evidence),
    ...environment.rules.map((rule) => judge({ policy, evidence, question }, rule)),
    ...judgeSchema(evidence, question),
  ];
  const binding = judged.filter(({ result }) => question.direction === 'promote' || result.blocksRollback);
  return {
    passed: binding.every(({ result }) => result.passed),
    rules: judged.map(({ result }) => result),
    evidence: [...new Set(judged.flatMap(({ evidence: used }) => used))],
    validUntil: earliest(judged, question.time),
  };
}

/** The first moment at which asking again could answer something else though nothing was logged. */
function earliest(judged: readonly Judged[], time: number): number | null {
  const ends = judged.flatMap(({ until }) => (until === undefined || until <= time ? [] : [until]));
  return ends.length === 0 ? null : Math.min(...ends);
}

function judge(bench: Bench, rule: Rule): Judged {
  switch (rule.kind) {
    case 'provenance':
      return judgeProvenance(bench, rule);
    case 'sbom':
      return judgeSbom(bench, rule);
    case 'tests':
      return judgeTests(bench, rule);
    case 'clean':
      return judgeClean(bench, rule);
    case 'confirmed-in':
      return judgeConfirmed(bench, rule);
    case 'soak':
      return judgeSoak(bench, rule);
    case 'approvals':
      return judgeApprovals(bench, rule);
    case 'rebuilt':
      return judgeRebuilt(bench, rule);
    case 'witnessed':
      return judgeWitnessed(bench, rule);
    case 'cel':
      return judgeCel(bench, rule);
    default:
      return rule satisfies never;
  }
}
