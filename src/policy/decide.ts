import type { RuleResult } from '#attest';
import { shortDigest, type Digest } from '#core';
import { environmentOf, personOf, type Policy, type Rule } from './policy.ts';

/** A statement whose signature and log proof have been verified; what it says has not been believed yet. */
export interface EvidenceStatement {
  readonly envelope: Digest;
  readonly predicateType: string;
  readonly subjects: readonly Digest[];
  /** base64 SPKI of the key that signed. */
  readonly key: string;
  readonly logIndex: number;
  /** Seconds since 1970: the entry's time in the log. */
  readonly time: number;
  /** The commit that a provenance statement names. */
  readonly commit: string | null;
}

export interface Evidence {
  readonly release: Digest;
  readonly application: string;
  readonly commit: string;
  readonly statements: readonly EvidenceStatement[];
  /** Environments in which this release was confirmed. */
  readonly confirmedIn: readonly string[];
  readonly quarantined: boolean;
}

export interface Question {
  readonly environment: string;
  readonly direction: 'promote' | 'rollback';
}

export interface Decision {
  readonly passed: boolean;
  readonly rules: readonly RuleResult[];
  /** The envelopes that the rules rest on. */
  readonly evidence: readonly Digest[];
}

/**
 * The gate. Pure: the same policy, evidence and question give the same decision years later; whoever wants to know the time
 * finds it in the evidence. On the way back only rules that say `blocksRollback` stop it: a rule that fails today must never
 * take away the only way out of an incident.
 */
export function decide(policy: Policy, evidence: Evidence, question: Question): Decision {
  const environment = environmentOf(policy, question.environment);
  const judged = environment.rules.map((rule) => judge(policy, rule, evidence, question));
  if (question.direction === 'promote') judged.unshift(judgeQuarantine(evidence, question));
  const binding = judged.filter(({ result }) => question.direction === 'promote' || result.blocksRollback);
  return {
    passed: binding.every(({ result }) => result.passed),
    rules: judged.map(({ result }) => result),
    evidence: [...new Set(judged.flatMap(({ evidence: used }) => used))],
  };
}

interface Judged {
  readonly result: RuleResult;
  readonly evidence: readonly Digest[];
}

function judge(policy: Policy, rule: Rule, evidence: Evidence, question: Question): Judged {
  switch (rule.kind) {
    case 'provenance':
      return judgeProvenance(policy, rule, evidence);
    case 'confirmed-in':
      return judgeConfirmed(rule, evidence, question);
    default:
      return rule satisfies never;
  }
}

function judgeProvenance(policy: Policy, rule: Extract<Rule, { kind: 'provenance' }>, evidence: Evidence): Judged {
  const provenances = evidence.statements.filter((one) => one.predicateType === 'https://slsa.dev/provenance/v1' && one.subjects.includes(evidence.release));
  const rated = provenances.map((one) => {
    const person = personOf(policy, one.key);
    const complaint =
      person === undefined
        ? 'is signed by a key that the policy does not know'
        : !person.roles.includes(rule.role)
          ? `is signed by ${person.name}, who is no ${rule.role}`
          : one.commit !== evidence.commit
            ? `names commit ${one.commit?.slice(0, 7)}, the release ${evidence.commit.slice(0, 7)}`
            : undefined;
    return { one, person, complaint };
  });
  const good = rated.find(({ complaint }) => complaint === undefined);
  if (good !== undefined) {
    return { result: pass('provenance', `built by ${good.person?.name} from ${evidence.commit.slice(0, 7)}`, rule), evidence: [good.one.envelope] };
  }
  const nearest = rated.at(-1);
  return {
    result: fail('provenance', provenances.length === 0 ? 'no provenance in the log' : `none of ${provenances.length} counts`, rule, {
      nearest: nearest === undefined ? null : `log entry ${nearest.one.logIndex} ${nearest.complaint}`,
      fix: `A ${rule.role} runs: cairn release`,
    }),
    evidence: [],
  };
}

function judgeConfirmed(rule: Extract<Rule, { kind: 'confirmed-in' }>, evidence: Evidence, question: Question): Judged {
  const label = `confirmed-in ${rule.environment}`;
  if (evidence.confirmedIn.includes(rule.environment)) return { result: pass(label, `was confirmed in ${rule.environment}`, rule), evidence: [] };
  const nearest = evidence.confirmedIn.length === 0 ? null : `it was confirmed in ${evidence.confirmedIn.join(', ')}`;
  const fix = `cairn promote ${shortDigest(evidence.release)} ${rule.environment}, then again ${question.environment}`;
  return { result: fail(label, `was never confirmed in ${rule.environment}`, rule, { nearest, fix }), evidence: [] };
}

function judgeQuarantine(evidence: Evidence, question: Question): Judged {
  const rule = { blocksRollback: false };
  if (!evidence.quarantined) return { result: pass('not-quarantined', 'not quarantined', rule), evidence: [] };
  const fix = `cairn resume ${shortDigest(evidence.release)} ${question.environment}`;
  return { result: fail('not-quarantined', `was rolled back from in ${question.environment}`, rule, { nearest: null, fix }), evidence: [] };
}

function pass(rule: string, found: string, { blocksRollback }: { blocksRollback: boolean }): RuleResult {
  return { rule, passed: true, found, nearest: null, fix: null, blocksRollback };
}

function fail(rule: string, found: string, { blocksRollback }: { blocksRollback: boolean }, help: { nearest: string | null; fix: string }): RuleResult {
  return { rule, passed: false, found, ...help, blocksRollback };
}
