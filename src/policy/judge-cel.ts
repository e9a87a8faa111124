import { CairnError, shortDigest } from '#core';
import type { Judged } from './decide.ts';
import { explain } from './cel-explain.ts';
import { compile, evaluate, withinPatience } from './cel.ts';
import { valueText } from './cel-text.ts';
import { factValues } from './fact-values.ts';
import { celFacts, factSpecs, type FactName } from './facts.ts';
import type { Rule } from './policy.ts';
import { fail, pass } from './result.ts';
import type { Bench } from './rules.ts';

type CelRule = Extract<Rule, { kind: 'cel' }>;

/** Statements that a fact is made of. */
const sources: Partial<Record<FactName, readonly string[]>> = {
  provenance: ['provenance'], sboms: ['sbom'], packages: ['sbom'], tests: ['tests'], scans: ['scan'], vulnerabilities: ['scan'], findings: ['findings'], approvals: ['approval'], signatures: ['signature'],
};

/**
 * A rule that is written in CEL. Only `true` lets in: false, another value and no value at all are failures that say why. An expression
 * that could cost too much with the facts at hand decides nothing. @throws CairnError `invalid-policy`; `internal`
 */
export function judgeCel(bench: Bench, rule: CelRule): Judged {
  try {
    return withinPatience(() => judged(bench, rule));
  } catch (error) {
    if (!(error instanceof CairnError)) throw error;
    // What must not take the way back away does not take it away by being broken either: it is owed.
    const fix = rule.fix ?? error.fix ?? 'cairn policy check FILE';
    if (bench.question.direction === 'rollback' && !rule.blocksRollback) {
      return fail(rule.name, `could not be decided: ${error.message}`, rule, { nearest: null, fix, cause: 'unmet' }, bench.question.time + 1);
    }
    if (error.code !== 'invalid-policy') throw error;
    const why = `the rule "${rule.name}" of ${bench.question.environment}: ${error.message}; nothing was decided`;
    throw new CairnError('invalid-policy', why, { fix: error.fix ?? fix, context: { ...error.context, rule: rule.name }, cause: error });
  }
}

function judged(bench: Bench, rule: CelRule): Judged {
  const compiled = compile(rule.expression);
  const facts = factValues(bench);
  const { values, sizes } = celFacts(compiled.facts, facts, compiled.fields);
  compiled.cost(sizes);
  const outcome = evaluate(compiled.expression, values);
  const kinds = new Set(compiled.facts.flatMap((name) => sources[name] ?? []));
  const used = bench.evidence.statements.filter(({ says }) => kinds.has(says.kind)).map(({ envelope }) => envelope);
  const until = untilOf(bench, compiled.facts);
  if ('value' in outcome && outcome.value === true) return pass(rule.name, 'holds', rule, used, until);
  const found = 'error' in outcome ? `has no answer: ${outcome.error}` : outcome.value === false ? `${rule.name} does not hold` : `gives ${valueText(outcome.value)}, which is not true`;
  const cause = kinds.size > 0 && used.length === 0 ? 'absent' : 'unmet';
  return fail(rule.name, found, rule, { nearest: explain(compiled.expression, celFacts(compiled.facts, facts).values), fix: rule.fix ?? fixFor(bench, compiled.facts), cause, evidence: used }, until);
}

const clocks: ReadonlySet<FactName> = new Set<FactName>(['now', 'calendar', 'age', 'soak']);

/** What reads the clock may answer otherwise a second later; what reads approvals, when the first of them expires. */
function untilOf({ evidence, question }: Bench, facts: readonly FactName[]): number | undefined {
  if (facts.some((name) => clocks.has(name))) return question.time + 1;
  const ends = facts.includes('approvals') ? evidence.statements.flatMap(({ says }) => (says.kind === 'approval' && says.expires > question.time ? [Math.ceil(says.expires)] : [])) : [];
  return ends.length === 0 ? undefined : Math.min(...ends);
}

/** Where the policy does not say what mends it: what would bring the facts that the expression reads. */
function fixFor({ evidence, question }: Bench, facts: readonly FactName[]): string {
  const digest = shortDigest(evidence.release);
  const ways: Partial<Record<FactName, string>> = {
    approvals: `cairn approve ${digest} ${question.environment}`, tests: `cairn attest ${digest} --junit FILE`, vulnerabilities: `cairn attest ${digest} --scan`, scans: `cairn attest ${digest} --scan`,
    findings: `cairn attest ${digest} --sarif FILE`, confirmed: `cairn promote ${digest} ENVIRONMENT`, soak: 'Wait, then ask again', age: 'Wait, then ask again', now: 'Ask again later', calendar: 'Ask again later',
  };
  return facts.map((name) => ways[name]).find((way) => way !== undefined) ?? `cairn policy show; known facts: ${Object.keys(factSpecs).length}, in docs/guides/policy.md`;
}
