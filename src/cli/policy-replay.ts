import { openReader } from '#ledger';
import { CairnError, asCairnError, type Digest } from '#core';
import { openHome, sigstoreRoots } from '#home';
import { decide, withinPatience, type Policy } from '#policy';
import { verifierOf } from '#verify';
import type { Context } from './context.ts';
import { count, row, run, short, type CommonFlags } from './output.ts';
import { readPast, type Past, type PastDecision } from './policy-decisions.ts';
import { readFileAsPolicy } from './policy.ts';
import { timeAgo } from './time-ago.ts';
import { trustFileOf, trustOf } from './trust.ts';

export interface RuleChange {
  readonly rule: string;
  /** Null where the policy of that time, or the other one, has no such rule. */
  readonly was: 'passed' | 'failed' | null;
  readonly would: 'passed' | 'failed' | null;
  readonly found: string | null;
}

export interface Changed {
  readonly envelope: Digest;
  readonly logIndex: number;
  readonly time: number;
  readonly application: string;
  readonly environment: string;
  readonly revision: number;
  readonly release: Digest;
  readonly was: 'admitted' | 'refused';
  readonly would: 'admitted' | 'refused' | 'undecided';
  readonly rules: readonly RuleChange[];
}

export interface Replayed {
  readonly decisions: number;
  readonly changed: readonly Changed[];
  /** Decisions that cannot be made again, or that come out otherwise by their own policy: nothing can be said of them. */
  readonly lost: Past['lost'];
}

const mostLines = 20;
const batch = 200;
const batchMs = 120_000;

/** Decides what was decided in the past again, by another policy: which of it would be otherwise, and by which rule. Nothing is written. */
export async function replay(this: Context, flags: CommonFlags & { since?: string; file?: string }): Promise<void> {
  await run(this, flags, async () => {
    const { system } = this;
    const start = system.clock.elapsed();
    const home = await openHome(system.home);
    const trust = await trustOf(system, home);
    const { genesis } = await trustFileOf(system, home);
    const { roots } = await sigstoreRoots(home.paths);
    const since = flags.since === undefined ? 0 : Math.floor(timeAgo(flags.since, system.clock.now()).getTime() / 1000);
    const reader = await openReader(home.paths.ledger);
    const show = (what: string | null) => (flags.json ? undefined : system.showing(what === null ? null : `  .. ${what}`));
    try {
      show('reading the decisions of the past');
      const past = await readPast(reader, verifierOf(trust), { genesis, trust, roots }, since);
      const before = past.policies.at(-1);
      if (before === undefined) throw new CairnError('not-initialized', 'the ledger holds no policy', { fix: 'cairn init' });
      const policy = flags.file === undefined ? before.policy : await readFileAsPolicy(system, flags.file, before);
      show(`deciding ${count(past.decisions.length, 'decision')} again`);
      const replayed = replayAll(past, policy);
      show(null);
      const milliseconds = Math.round(system.clock.elapsed() - start);
      if (!flags.json) tell(this, replayed, flags.file ?? `version ${policy.version}, which is in force`, milliseconds);
      return { ...replayed, byRule: byRule(replayed.changed), milliseconds };
    } finally {
      show(null);
      await reader.close();
    }
  });
}

/** First each by its own policy, which must come out as it was recorded; then by the other one. */
export function replayAll({ policies, decisions, lost }: Past, policy: Policy): Replayed {
  const versions = new Map(policies.map((one) => [one.digest, one.policy]));
  const changed: Changed[] = [];
  const gone = [...lost];
  const again = (one: PastDecision): void => {
    const own = versions.get(one.policy);
    const found = own === undefined ? undefined : outcomeOf(one, own);
    if (found === undefined || 'error' in found || found.passed !== one.passed || differs(one, found.rules)) {
      gone.push({ envelope: one.envelope, logIndex: one.logIndex, why: own === undefined ? 'its policy is in no version of the log' : 'by its own policy it is decided otherwise today' });
      return;
    }
    const other = own === policy ? found : outcomeOf(one, policy);
    const rules = 'error' in other ? [] : changesOf(one, other.rules);
    const passed = !('error' in other) && other.passed;
    if (!('error' in other) && passed === one.passed && rules.length === 0) return;
    const { application, environment, revision, release } = one.said;
    changed.push({
      envelope: one.envelope, logIndex: one.logIndex, time: one.time, application, environment, revision, release, was: one.passed ? 'admitted' : 'refused',
      would: 'error' in other ? 'undecided' : passed ? 'admitted' : 'refused', rules: 'error' in other ? [{ rule: other.rule, was: null, would: null, found: other.error }] : rules,
    });
  };
  // One watch over many of them: each has a thread to begin.
  for (let at = 0; at < decisions.length; at += batch) withinPatience(() => decisions.slice(at, at + batch).forEach(again), batchMs);
  return { decisions: decisions.length + lost.length, changed, lost: gone };
}

interface Ruled {
  readonly rule: string;
  readonly passed: boolean;
  readonly found: string;
}

function outcomeOf({ said, statements, time }: PastDecision, policy: Policy): { passed: boolean; rules: readonly Ruled[] } | { error: string; rule: string } {
  try {
    return decide(policy, { ...said.facts, statements }, { environment: said.environment, direction: said.direction, by: said.by, time });
  } catch (error) {
    const { code, message, context } = asCairnError(error);
    if (code === 'internal') throw error;
    return { error: message, rule: typeof context['rule'] === 'string' ? context['rule'] : code };
  }
}

function differs({ said }: PastDecision, rules: readonly Ruled[]): boolean {
  return rules.length !== said.rules.length || rules.some(({ rule, passed }, at) => said.rules[at]?.rule !== rule || said.rules[at].passed !== passed);
}

function changesOf({ said }: PastDecision, rules: readonly Ruled[]): RuleChange[] {
  const state = (one: { passed: boolean } | undefined) => (one === undefined ? null : one.passed ? ('passed' as const) : ('failed' as const));
  const names = [...new Set([...said.rules, ...rules].map(({ rule }) => rule))];
  return names.flatMap((rule) => {
    // Several rules can have one name: approvals of two roles, say. They are one line, failed where one of them did.
    const worst = <R extends Ruled>(all: readonly R[]) => all.find((one) => one.rule === rule && !one.passed) ?? all.find((one) => one.rule === rule);
    const [old, fresh] = [worst(said.rules), worst(rules)];
    const [was, would] = [state(old), state(fresh)];
    // A rule that is new, or gone, and would not fail says nothing about this decision.
    return was === would || (was !== 'failed' && would !== 'failed') ? [] : [{ rule, was, would, found: fresh?.found ?? null }];
  });
}

function byRule(changed: readonly Changed[]): { rule: string; refuses: number; admits: number }[] {
  const rules = new Map<string, { refuses: number; admits: number }>();
  for (const { rules: all } of changed) {
    for (const { rule, would } of all) {
      const known = rules.get(rule) ?? { refuses: 0, admits: 0 };
      rules.set(rule, would === 'failed' ? { ...known, refuses: known.refuses + 1 } : { ...known, admits: known.admits + 1 });
    }
  }
  return [...rules].map(([rule, numbers]) => ({ rule, ...numbers })).toSorted((a, b) => b.refuses + b.admits - a.refuses - a.admits);
}

function tell(context: Context, { decisions, changed, lost }: Replayed, by: string, milliseconds: number): void {
  const flipped = changed.filter(({ was, would }) => was !== would);
  row(context, 'replayed', count(decisions, 'decision'), `by ${by}`, `${(milliseconds / 1000).toFixed(1)} s`);
  for (const { rule, refuses, admits } of byRule(changed)) row(context, 'rule', rule, `would fail ${refuses}, would not fail ${admits}`);
  for (const one of flipped.slice(0, mostLines)) {
    const [first] = one.rules;
    row(context, one.would === 'admitted' ? 'ok' : 'no', `${one.environment} ${one.revision}`, `${one.application} ${short(one.release)}`, `${one.was}, would be ${one.would}`, first === undefined ? '' : `${first.rule}: ${first.found ?? 'no such rule any more'}`);
  }
  if (flipped.length > mostLines) row(context, '', `and ${flipped.length - mostLines} more`, '--json has them all');
  if (flipped.length === 0) row(context, 'ok', 'nothing', 'none would be decided otherwise');
  if (lost.length > 0) row(context, 'see to', `${count(lost.length, 'decision')} cannot be made again`, lost[0]?.why ?? '');
}
