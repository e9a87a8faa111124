import { CairnError, hintFor } from '#core';
import { isNext, type PolicyVersion } from './chain.ts';
import { checkExpression } from './check-cel.ts';
import type { Person, Policy, Rule } from './policy.ts';
import { openPlaces } from './quorum.ts';

// What is wrong with a policy that reads well: rules that nobody can meet, names that nobody has, rules that say nothing. Found before it is
// signed, since afterwards it takes a quorum to mend it.

export interface PolicyProblem {
  /** An error keeps a policy from being proposed. */
  readonly level: 'error' | 'warning';
  /** Such as `production: approvals`. */
  readonly where: string;
  readonly text: string;
  readonly fix: string;
}

export interface CheckContext {
  /** Environments that the server runs; undefined where nobody knows. */
  readonly environments?: readonly string[];
  /** The version in force, that this one is to follow. */
  readonly before?: PolicyVersion;
  /** Seconds since 1970. */
  readonly now: number;
}

export type Report = (level: PolicyProblem['level'], where: string, text: string, fix: string) => void;
type Environment = Policy['environments'][number];

export function checkPolicy(policy: Policy, context: CheckContext): PolicyProblem[] {
  const problems: PolicyProblem[] = [];
  const report: Report = (level, where, text, fix) => void problems.push({ level, where, text, fix });
  const { before } = context;
  if (before !== undefined && !isNext(before, policy)) report('error', 'version', `version ${policy.version} cannot follow version ${before.policy.version}, which is in force`, 'Leave version and previous out of the file: they are filled in');
  checkPeople(policy, context, report);
  checkQuorum(policy, report);
  checkEnvironments(policy, context, report);
  checkOrder(policy, report);
  for (const environment of policy.environments) checkRules(policy, environment, report);
  return problems.toSorted((a, b) => Number(a.level === 'warning') - Number(b.level === 'warning'));
}

/** @throws CairnError `invalid-policy`, with every error in `context.lines` */
export function requireSound(problems: readonly PolicyProblem[]): void {
  const errors = problems.filter(({ level }) => level === 'error');
  const [first] = errors;
  if (first === undefined) return;
  const lines = errors.slice(1).map(({ where, text }) => `${where}: ${text}`);
  throw new CairnError('invalid-policy', `${first.where}: ${first.text}`, { fix: first.fix, context: lines.length > 0 ? { lines } : {} });
}

function rolesOf(policy: Policy): string[] {
  return [...new Set(policy.people.flatMap(({ roles }) => roles))];
}

function peopleWith(policy: Policy, role: string, machines = false): Person[] {
  return policy.people.filter(({ roles, machine }) => roles.includes(role) && (machines || machine !== true));
}

/** @returns whether somebody has it */
function requireRole(policy: Policy, role: string, where: string, report: Report, machines = false): boolean {
  if (peopleWith(policy, role, machines).length > 0) return true;
  const onlyMachines = peopleWith(policy, role, true).length > 0;
  const why = onlyMachines ? `only machines have the role "${role}", and they do not count here` : `nobody has the role "${role}"`;
  report('error', where, why, hintFor(role, rolesOf(policy), 'Give it to somebody; roles that people have'));
  return false;
}

function checkPeople({ people }: Policy, { now }: CheckContext, report: Report): void {
  for (const { name, keys, validity = {}, identities = [], machine } of people) {
    for (const [key, { from, until }] of Object.entries(validity)) {
      const short = `${key.slice(0, 16)}...`;
      if (!keys.includes(key)) report('error', name, `has a validity for the key ${short}, which is none of theirs`, 'Name the key under keys, letter for letter');
      if (from !== undefined && until !== undefined && Date.parse(from) > Date.parse(until)) report('error', name, `the key ${short} is valid from ${from} until ${until}, which is never`, 'Exchange the two');
      else if (until !== undefined && Date.parse(until) / 1000 < now) report('warning', name, `the key ${short} has expired at ${until}`, 'Leave it, where what it signed before is still needed; it signs nothing new');
    }
    const usable = keys.some((key) => { const until = validity[key]?.until; return until === undefined || Date.parse(until) / 1000 >= now; });
    if (!usable && identities.length === 0 && machine !== true) report('warning', name, 'has no key that can sign any more', 'cairn key new, and name the new public key here');
  }
}

function checkQuorum(policy: Policy, report: Report): void {
  const known = policy.quorum.filter(({ role }) => requireRole(policy, role, 'quorum', report));
  if (known.length < policy.quorum.length) return;
  const open = openPlaces(policy, policy.people);
  const why = `no set of people can meet it: ${open.map(({ role }) => role).join(', ')} stays open, since nobody fills two places. No later version could ever be signed`;
  if (open.length > 0) report('error', 'quorum', why, 'Lower a threshold, or give more people the role');
  for (const role of policy.revoke ?? []) requireRole(policy, role, 'revoke', report);
}

function checkEnvironments(policy: Policy, { environments }: CheckContext, report: Report): void {
  for (const { name, promote, rollback, breakGlass } of policy.environments) {
    requireRole(policy, promote, `${name}: promote`, report, true);
    requireRole(policy, rollback, `${name}: rollback`, report, true);
    if (breakGlass !== undefined && requireRole(policy, breakGlass.role, `${name}: breakGlass`, report)) {
      requireMany(`${name}: breakGlass`, breakGlass.threshold, peopleWith(policy, breakGlass.role).length, `people of role ${breakGlass.role}`, report);
    }
    if (environments !== undefined && !environments.includes(name)) {
      report('error', name, 'the server has no such environment, and no key to admit into it', hintFor(name, environments, 'It has'));
    }
  }
  for (const name of environments ?? []) {
    if (!policy.environments.some((one) => one.name === name)) report('error', name, 'the server runs it, and the policy leaves it out: nothing there could be rolled back', `Add the environment ${name}`);
  }
}

function requireMany(where: string, threshold: number, there: number, who: string, report: Report): void {
  if (threshold > there) report('error', where, `needs ${threshold} ${who}; there ${there === 1 ? 'is' : 'are'} ${there}`, 'Lower the threshold, or add people');
}

/** An environment that waits for itself, over however many others, lets nothing in. */
function checkOrder({ environments }: Policy, report: Report): void {
  const names = environments.map(({ name }) => name);
  const waits = new Map(environments.map(({ name, rules }) => [name, rules.flatMap((rule) => (rule.kind === 'soak' || rule.kind === 'confirmed-in' ? [rule.environment] : []))]));
  for (const [name, before] of waits) {
    for (const one of before.filter((other) => !names.includes(other))) {
      report('error', `${name}: ${one}`, `waits for the environment "${one}", which does not exist`, hintFor(one, names, 'Environments'));
    }
    const seen = new Set<string>();
    const reach = (at: string): boolean => (waits.get(at) ?? []).some((next) => next === name || (!seen.has(next) && (seen.add(next), reach(next))));
    if (reach(name)) report('error', name, 'waits for itself, in the end: nothing can ever enter it', 'Take one of the rules confirmed-in or soak out of the circle');
  }
}

function labelOf(rule: Rule): string {
  if (rule.kind === 'cel') return rule.name;
  return 'environment' in rule ? `${rule.kind} ${rule.environment}` : rule.kind === 'approvals' ? `approvals ${rule.role}` : rule.kind;
}

const builtIn: readonly string[] = [
  'provenance', 'sbom', 'tests', 'clean', 'soak', 'approvals', 'rebuilt', 'witnessed', 'not-quarantined', 'not-revoked', 'schema', 'break-glass', 'not-frozen', 'no-open-incident', 'no-debt',
  'no-revoked-package',
];

function checkRules(policy: Policy, environment: Environment, report: Report): void {
  const names = new Set<string>();
  for (const [at, rule] of environment.rules.entries()) {
    const where = `${environment.name}: ${labelOf(rule)}`;
    const shadow = environment.rules.find((other, before) => before !== at && shadows(other, rule, before < at));
    if (shadow !== undefined) report('warning', where, `says nothing: ${labelOf(shadow)} asks for as much or more`, 'Leave one of the two out');
    if (rule.kind === 'provenance' || rule.kind === 'tests') requireRole(policy, rule.role, where, report, true);
    if (rule.kind === 'sbom') requireRole(policy, 'builder', where, report, true);
    if (rule.kind === 'rebuilt' && requireRole(policy, rule.role, where, report, true)) requireMany(where, rule.threshold, peopleWith(policy, rule.role, true).length, `builders of role ${rule.role}`, report);
    if (rule.kind === 'witnessed') requireMany(where, rule.threshold, policy.witnesses?.length ?? 0, 'witnesses', report);
    if (rule.kind === 'approvals') checkApprovals(policy, environment, rule, where, report);
    if (rule.kind !== 'cel') continue;
    if (names.has(rule.name)) report('error', where, 'two rules have this name: a verdict could not say which it means', 'Rename one');
    if (builtIn.includes(rule.name)) report('error', where, 'a rule of this name is built in: a verdict could not say which it means', 'Rename it');
    names.add(rule.name);
    checkExpression(policy, rule, where, report);
  }
}

/** With `independent`, whoever asks and whoever built are none of them: counted for the two that leave the most. */
function checkApprovals(policy: Policy, environment: Environment, rule: Extract<Rule, { kind: 'approvals' }>, where: string, report: Report): void {
  if (!requireRole(policy, rule.role, where, report)) return;
  const able = peopleWith(policy, rule.role);
  if (rule.independent !== true) return requireMany(where, rule.threshold, able.length, `people of role ${rule.role}`, report);
  const builders = environment.rules.flatMap((other) => (other.kind === 'provenance' || other.kind === 'rebuilt' ? [other.role] : []));
  const asks = peopleWith(policy, environment.promote, true);
  const builds = builders.length === 0 ? [undefined] : builders.flatMap((role) => peopleWith(policy, role, true));
  const most = Math.max(0, ...asks.flatMap((asker) => builds.map((builder) => able.filter(({ name }) => name !== asker.name && name !== builder?.name).length)));
  return requireMany(where, rule.threshold, most, `people of role ${rule.role} who neither ask nor build`, report);
}

/** Whether whatever meets `strong` meets `weak` too. Of two alike, the second says nothing. */
function shadows(strong: Rule, weak: Rule, earlier: boolean): boolean {
  if (weak.blocksRollback && !strong.blocksRollback) return false;
  const more = (a: number, b: number) => a > b || (a === b && earlier);
  if (weak.kind === 'confirmed-in' && strong.kind === 'soak') return strong.environment === weak.environment;
  if (weak.kind === 'provenance' && strong.kind === 'rebuilt') return strong.role === weak.role;
  switch (weak.kind) {
    case 'soak':
      return strong.kind === 'soak' && strong.environment === weak.environment && more(strong.minutes, weak.minutes);
    case 'approvals':
      if (strong.kind !== 'approvals' || strong.role !== weak.role || (weak.independent === true && strong.independent !== true)) return false;
      return strong.independent === weak.independent ? more(strong.threshold, weak.threshold) : strong.threshold >= weak.threshold;
    case 'rebuilt':
      return strong.kind === 'rebuilt' && strong.role === weak.role && more(strong.threshold, weak.threshold);
    case 'witnessed':
      return strong.kind === 'witnessed' && more(strong.threshold, weak.threshold);
    case 'cel':
      return strong.kind === 'cel' && strong.expression === weak.expression && earlier;
    case 'confirmed-in':
      return strong.kind === 'confirmed-in' && strong.environment === weak.environment && earlier;
    default:
      return strong.kind === weak.kind && (!('role' in strong) || !('role' in weak) || strong.role === weak.role) && earlier;
  }
}
