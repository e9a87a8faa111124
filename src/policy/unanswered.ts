import type { Judged } from './decide.ts';
import type { Rule } from './policy.ts';
import type { Bench } from './rules.ts';

/** Rules over statements that somebody else's tools could have brought. */
const brought: ReadonlySet<Rule['kind']> = new Set(['provenance', 'sbom', 'tests', 'rebuilt', 'cel']);

/**
 * What is missing may stand where somebody did not answer, or asked us to come later: that is another refusal than its absence, and is
 * mended by asking again. Witnesses speak for themselves.
 */
export function unanswered({ policy, evidence }: Bench, rule: Rule, judged: Judged): Judged {
  const { passed, cause, nearest, fix } = judged.result;
  const witnesses = new Set((policy.witnesses ?? []).map(({ name }) => name));
  const silent = evidence.sources.find(({ name }) => !witnesses.has(name));
  if (passed || silent === undefined || !brought.has(rule.kind) || (rule.kind === 'cel' && cause !== 'absent')) return judged;
  const { name, state, detail } = silent;
  const why = `${name} is ${state}: ${detail}`;
  return { ...judged, result: { ...judged.result, cause: state, nearest: nearest === null ? why : `${nearest}; ${why}`, fix: `Ask again when ${name} answers${fix === null ? '' : `; else: ${fix}`}` } };
}
