import { shortDigest, type Digest } from '#core';
import type { Judged } from './decide.ts';
import type { EvidenceStatement, Says } from './evidence.ts';
import { environmentOf } from './policy.ts';
import { fail, pass } from './result.ts';
import { countedSigner, type Bench } from './rules.ts';

/** The name of the rule, in verdicts. */
export const glass = 'break-glass';

type Broken = EvidenceStatement & { readonly says: Extract<Says, { kind: 'break-glass' }> };

/** Of this release, for this place, and not used by an earlier promotion: it is for one. */
function brokenHere({ evidence, question }: Bench): Broken[] {
  const { spentGlass = [] } = evidence;
  return evidence.statements.filter((one): one is Broken => {
    const { says } = one;
    return says.kind === 'break-glass' && says.application === evidence.application && says.environment === question.environment && one.subjects.includes(evidence.release) && !spentGlass.includes(one.envelope);
  });
}

/**
 * Whether enough distinct people broke the glass. It passes rules of the policy and freezes, for one promotion; never what integrity,
 * revocation, schema, quarantine, debts or incidents say, nor a quorum of witnesses. Undefined where nobody broke it.
 */
export function judgeBreakGlass(bench: Bench, failed: { readonly broken: readonly string[]; readonly firm: readonly string[] }): Judged | undefined {
  const { policy, question } = bench;
  const rule = { blocksRollback: false };
  const statements = brokenHere(bench);
  if (statements.length === 0 || failed.broken.length + failed.firm.length === 0) return undefined;
  const { breakGlass } = environmentOf(policy, question.environment);
  if (breakGlass === undefined) return fail(glass, `the policy lets nobody break the glass of ${question.environment}`, rule, { nearest: null, fix: 'cairn policy propose, with breakGlass for the environment', cause: 'unmet' });
  const people = new Map<string, string>();
  const used: Digest[] = [];
  const ends: number[] = [];
  let nearest: string | null = null;
  for (const one of statements) {
    const { says, envelope, logIndex, time } = one;
    const { person, complaint: signer } = countedSigner(bench, one, breakGlass.role);
    // Counted from the log's time, whatever the signer's clock said: nobody breaks it for longer than the policy has it.
    const expires = Math.min(says.expires, time + breakGlass.hours * 3600);
    const complaint = signer ?? (person.machine === true ? `is by ${person.name}, a machine` : says.by !== person.name ? `says it is by ${says.by}` : expires <= question.time ? `by ${says.by} has expired` : undefined);
    if (complaint !== undefined || person === undefined) {
      nearest = `log entry ${logIndex} ${complaint}`;
      continue;
    }
    people.set(person.name, says.reason);
    used.push(envelope);
    ends.push(Math.ceil(expires));
  }
  const until = ends.length === 0 ? undefined : Math.min(...ends);
  const again = `${breakGlass.role}: cairn break-glass ${shortDigest(bench.evidence.release)} ${question.environment} --reason TEXT`;
  if (people.size < breakGlass.threshold) {
    return fail(glass, `${people.size} of ${breakGlass.threshold} people broke the glass${people.size === 0 ? '' : ` (${[...people.keys()].join(', ')})`}`, rule, { nearest, fix: again, cause: 'unmet', evidence: statements.map(({ envelope }) => envelope) }, until);
  }
  if (failed.firm.length > 0) {
    return fail(glass, `does not pass ${[...new Set(failed.firm)].join(', ')}`, rule, { nearest: null, fix: 'Mend what does not hold: no broken glass passes it', cause: 'unmet', evidence: used }, until);
  }
  return pass(glass, `${[...people].map(([name, reason]) => `${name}: ${reason}`).join('; ')}; past ${failed.broken.join(', ')}`, rule, used, until);
}
