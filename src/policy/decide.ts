import type { RuleResult } from '#attest';
import type { Digest } from '#core';
import type { Evidence, Question } from './evidence.ts';
import { judgeDebts, judgeIncidents, judgeQuarantine, judgeRevocation, judgeSchema } from './always.ts';
import { withinPatience } from './cel.ts';
import { glass, judgeBreakGlass } from './break-glass.ts';
import { judgeFreezes } from './freezes.ts';
import { judgeCel } from './judge-cel.ts';
import { judgePackages } from './packages.ts';
import { environmentOf, type Policy, type Rule } from './policy.ts';
import { judgeApprovals, judgeClean, judgeConfirmed, judgeProvenance, judgeRebuilt, judgeSbom, judgeSoak, judgeTests, judgeWitnessed, type Bench } from './rules.ts';
import { unanswered } from './unanswered.ts';

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
 * say `blocksRollback` stop it: a rule that fails today must never take away the only way out of an incident. Revocation, of the
 * release or of a package in it, and a data schema that does not fit always stop it; freezes, debts and open incidents never do.
 */
export function decide(policy: Policy, evidence: Evidence, question: Question): Decision {
  const { rules, freezes = [] } = environmentOf(policy, question.environment);
  const bench = { policy, evidence, question };
  const forward = question.direction === 'promote';
  const weighed: Weighed[] = [
    ...firm(forward ? [judgeQuarantine(evidence, question), ...judgeIncidents(evidence), ...judgeDebts(evidence, question)] : []),
    ...firm([...judgeRevocation(evidence), ...judgePackages(evidence)]),
    ...judgeAll(bench, rules),
    ...(forward ? judgeFreezes(bench, freezes) : []).map((one) => ({ judged: one, firm: false })),
    ...firm(judgeSchema(evidence, question)),
  ];
  const judged = forward ? pastBrokenGlass(bench, weighed) : weighed.map((one) => one.judged);
  const binding = judged.filter(({ result }) => (forward ? result.rule !== glass && result.waived !== true : result.blocksRollback));
  return {
    passed: binding.every(({ result }) => result.passed),
    rules: judged.map(({ result }) => result),
    evidence: [...new Set(judged.flatMap(({ evidence: used }) => used))],
    validUntil: earliest(judged, question.time),
  };
}

/** One watch over all expressions: its thread takes longer to begin than most of them take. */
function judgeAll(bench: Bench, rules: readonly Rule[]): Weighed[] {
  const all = () => rules.map((rule) => ({ judged: unanswered(bench, rule, judge(bench, rule)), firm: rule.kind === 'witnessed' }));
  return rules.some(({ kind }) => kind === 'cel') ? withinPatience(all) : all();
}

interface Weighed {
  readonly judged: Judged;
  /** Whether it holds against broken glass too. */
  readonly firm: boolean;
}

function firm(judged: readonly Judged[]): Weighed[] {
  return judged.map((one) => ({ judged: one, firm: true }));
}

/** With enough people behind it a promotion passes what failed; each such rule stays in the verdict as what it is, failed. */
function pastBrokenGlass(bench: Bench, weighed: readonly Weighed[]): Judged[] {
  const failed = weighed.filter(({ judged }) => !judged.result.passed);
  const names = (of: readonly Weighed[]) => of.map(({ judged }) => judged.result.rule);
  const broken = judgeBreakGlass(bench, { broken: names(failed.filter((one) => !one.firm)), firm: names(failed.filter((one) => one.firm)) });
  const all = weighed.map(({ judged }) => judged);
  if (broken === undefined) return all;
  if (!broken.result.passed) return [...all, broken];
  return [...weighed.map(({ judged, firm: holds }) => (holds || judged.result.passed ? judged : { ...judged, result: { ...judged.result, waived: true as const } })), broken];
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
