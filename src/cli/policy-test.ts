import { readFile } from 'node:fs/promises';
import { basename, resolve } from 'node:path';
import { asCairnError, CairnError, nearestName } from '#core';
import { decide, type Policy } from '#policy';
import type { Context } from './context.ts';
import { count, row, run, type CommonFlags } from './output.ts';
import { readCases, type Case } from './policy-cases.ts';
import { readFileAsPolicy, surroundings } from './policy.ts';

interface Outcome {
  readonly name: string;
  readonly ok: boolean;
  readonly verdict: 'admitted' | 'refused' | 'undecided';
  /** Where it came out otherwise than it should. */
  readonly problems: readonly string[];
}

/** Decides the cases in `policy.test.yaml`, beside `policy.yaml`, by it. Needs no server. */
export async function test(this: Context, flags: CommonFlags, file: string): Promise<void> {
  await run(this, flags, async () => {
    const { system } = this;
    const path = file.replace(/\.test(\.ya?ml|\.json)$/, '$1');
    const beside = path.replace(/(\.ya?ml|\.json)$/, '.test.yaml');
    if (beside === path) throw new CairnError('usage', `${file} is no .yaml, .yml or .json`, { fix: 'cairn policy test policy.yaml' });
    const policy = await readFileAsPolicy(system, path, (await surroundings(system)).before);
    const text = await readFile(resolve(system.directory, beside), 'utf8').catch((cause: unknown) => {
      throw new CairnError('usage', `${beside} cannot be read`, { cause, fix: `Write cases to ${basename(beside)}: docs/guides/policy.md shows how` });
    });
    const outcomes = readCases(text, basename(beside), policy).map((one) => outcomeOf(one, policy));
    const failed = outcomes.filter(({ ok }) => !ok);
    if (!flags.json) for (const { name, ok, verdict } of outcomes.filter((one) => one.ok || failed.length === 0)) row(this, ok ? 'ok' : 'no', name, verdict);
    if (failed.length > 0) {
      throw new CairnError('refused', `${count(failed.length, 'case')} of ${outcomes.length} came out otherwise`, {
        fix: 'Mend the policy, or the case', context: { findings: failed.flatMap(({ name, problems }) => problems.map((what) => ({ what: `${name}: ${what}`, fix: `see ${basename(beside)}` }))), cases: outcomes },
      });
    }
    return { cases: outcomes };
  });
}

function outcomeOf({ name, question, evidence, expect, rules }: Case, policy: Policy): Outcome {
  try {
    const decision = decide(policy, evidence, question);
    const verdict = decision.passed ? 'admitted' : 'refused';
    const failing = decision.rules.filter(({ passed }) => !passed).map(({ rule, found, nearest }) => `${rule}: ${found}${nearest === null ? '' : ` (${nearest})`}`);
    const problems = verdict === expect ? [] : [`${verdict}, not ${expect}${failing.length === 0 ? '' : `: ${failing.join('; ')}`}`];
    for (const [rule, wanted] of Object.entries(rules)) {
      const found = decision.rules.find((one) => one.rule === rule);
      const known = decision.rules.map((one) => one.rule);
      const nearest = nearestName(rule, known);
      if (found === undefined) problems.push(`there is no rule "${rule}": ${nearest === undefined ? `there are ${known.join(', ')}` : `did you mean "${nearest}"?`}`);
      else if (found.passed !== (wanted === 'passed')) problems.push(`the rule "${rule}" ${found.passed ? 'passed' : 'failed'}, not ${wanted}: ${found.found}${found.nearest === null ? '' : ` (${found.nearest})`}`);
    }
    return { name, ok: problems.length === 0, verdict, problems };
  } catch (error) {
    const { message, code } = asCairnError(error);
    if (code === 'internal') throw error;
    return { name, ok: false, verdict: 'undecided', problems: [message] };
  }
}
