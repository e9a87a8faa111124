import { evidenceSetDigest, parsePredicate, type PredicateOf, type RuleResult } from '#attest';
import type { Digest } from '#core';
import { decide, type Decision, type EvidenceStatement, type PolicyVersion } from '#policy';
import { refused } from './capsule-form.ts';
import type { Candidate } from './capsule-evidence.ts';
import { checkFacts } from './capsule-facts.ts';
import type { ReleaseParts } from './capsule-release.ts';
import type { Held } from './capsule-statements.ts';

type Verdict = PredicateOf<'verdict'>;

export interface Decided {
  readonly envelope: Digest;
  readonly logIndex: number;
  readonly environment: string;
  readonly revision: number;
  readonly direction: 'promote' | 'rollback';
  readonly result: 'PASSED' | 'FAILED';
  /** Version of the policy that it was decided by. */
  readonly policy: number;
  /** Made again from the evidence, with the same result; false for a verdict from before verdicts said what they rest on. */
  readonly decided: boolean;
  /** How many statements were weighed. */
  readonly weighed: number;
  /** Statements of the kinds that are weighed that came before the verdict and after the last one that it weighed. */
  readonly later: number;
  readonly unproven: readonly string[];
}

/** What decisions are made again from. */
export interface Grounds {
  readonly release: Digest;
  readonly parts: ReleaseParts;
  readonly held: readonly Held[];
  readonly policies: readonly PolicyVersion[];
  /** What a gate may weigh under that policy, in log order. */
  evidence(version: PolicyVersion): readonly Candidate[];
}

/**
 * Makes the decision again: the policy that was in force, the statements that were weighed, the facts that the verdict says, its own time.
 * Each rule must come out as it was recorded.
 * @throws CairnError `verification-failed`
 */
export function decideAgain(verdict: Held, grounds: Grounds): Decided {
  const said = parsePredicate('verdict', verdict.statement);
  const { environment, revision, direction, release, by, facts, evidenceSet } = said['https://cairn.internal/verdict/v1'];
  const where = `the verdict at log entry ${verdict.logIndex} (${environment}, revision ${revision})`;
  if (release !== grounds.release) throw refused('other-release', `${where} is about another release`);
  // That it was in force at that place was checked with who signed.
  const version = grounds.policies.findLast(({ digest, logIndex }) => logIndex < verdict.logIndex && digest === `sha256:${said.policy.digest.sha256}`);
  if (version === undefined) throw refused('stale-policy', `${where} was decided by a policy that was never in force`);
  const { policy } = version;
  const base = { envelope: verdict.envelope, logIndex: verdict.logIndex, environment, revision, direction, result: said.verificationResult, policy: policy.version };
  if (by === undefined || facts === undefined || evidenceSet === undefined) return { ...base, decided: false, weighed: 0, later: 0, unproven: [] };

  const before = grounds.held.filter(({ logIndex }) => logIndex < verdict.logIndex);
  const candidates = grounds.evidence(version).filter(({ logIndex }) => logIndex < verdict.logIndex);
  const weighed = weighedOf(candidates, evidenceSet);
  if (weighed === undefined) throw refused('evidence-set', `${where} weighed other statements than the capsule holds: one was left out, or added`);
  const { unproven } = checkFacts(facts, { document: grounds.parts.document, release, before, weighed, where });
  const time = timeOf(said, verdict, weighed, where);
  const decision = decide(policy, { ...facts, statements: weighed }, { environment, direction, by, time });
  compare(said, decision, where);
  return { ...base, decided: true, weighed: weighed.length, later: candidates.length - weighed.length, unproven };
}

/**
 * All that came before the verdict; or, where something was logged between the gathering and the verdict, all up to some entry. A statement
 * that was left out of the middle, or one too many, fits neither.
 */
export function weighedOf(candidates: readonly Candidate[], evidenceSet: Digest): readonly EvidenceStatement[] | undefined {
  for (let size = candidates.length; size >= Math.max(0, candidates.length - mostLater); size--) {
    const statements = candidates.slice(0, size).map(({ evidence }) => evidence).toSorted((a, b) => a.logIndex - b.logIndex);
    if (evidenceSetDigest(statements.map(({ envelope }) => envelope)) === evidenceSet) return statements;
  }
  return undefined;
}

const mostLater = 256;

/** The verdict's own time is by the server's clock; it must lie between what it weighed and its place in the log. Clocks may differ by a minute. */
function timeOf(said: Verdict, verdict: Held, weighed: readonly EvidenceStatement[], where: string): number {
  const time = Math.floor(Date.parse(said.timeVerified) / 1000);
  const newest = Math.max(0, ...weighed.map((one) => one.time));
  if (time < newest - 60 || time > verdict.time + 60) throw refused('verdict-time', `${where} says ${said.timeVerified}, the log says otherwise`);
  return time;
}

function compare(said: Verdict, decision: Decision, where: string): void {
  const { rules } = said['https://cairn.internal/verdict/v1'];
  const differing: { rule: string; said: RuleResult | null; again: RuleResult | null }[] = [];
  for (let at = 0; at < Math.max(rules.length, decision.rules.length); at++) {
    const [one, other] = [rules[at], decision.rules[at]];
    if (!same(one, other)) differing.push({ rule: one?.rule ?? other?.rule ?? '', said: one ?? null, again: other ?? null });
  }
  const { validUntil = null } = said['https://cairn.internal/verdict/v1'];
  const until = validUntil === null ? null : Math.floor(Date.parse(validUntil) / 1000);
  if ((said.verificationResult === 'PASSED') === decision.passed && differing.length === 0) {
    if (until === decision.validUntil) return;
    throw refused('verdict-differs', `${where} does not follow from its evidence: it holds until ${validUntil ?? 'something is logged'}, and until ${decision.validUntil ?? 'something is logged'} when it is decided again`);
  }
  const [first] = differing;
  const why = first === undefined
    ? `it says ${said.verificationResult}, and is ${decision.passed ? 'PASSED' : 'FAILED'} when it is decided again`
    : `its rule ${first.rule} ${first.said === null ? 'is not in it' : `says "${first.said.found}"`}, and ${first.again === null ? 'is none' : `${first.again.passed ? 'holds' : 'fails'} with "${first.again.found}"`} when it is decided again`;
  throw refused('verdict-differs', `${where} does not follow from its evidence: ${why}`, { context: { differing } });
}

/** Absent and undefined are the same thing in JSON. */
function same(one: unknown, other: unknown): boolean {
  const form = (value: unknown) => JSON.stringify(value, (_key, inner: unknown) => (typeof inner === 'object' && inner !== null && !Array.isArray(inner) ? Object.fromEntries(Object.entries(inner).toSorted(([a], [b]) => (a < b ? -1 : 1))) : inner));
  return form(one) === form(other);
}
