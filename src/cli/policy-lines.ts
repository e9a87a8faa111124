import type { Person, Policy, Rule } from '#policy';
import { count } from './output.ts';

// A policy, and what one changes in another, in lines for people who are about to sign.

export type Line = readonly [label: string, ...columns: string[]];

export function policyLines(policy: Policy): Line[] {
  return [
    ...policy.people.map((one): Line => ['person', one.name, personText(one)]),
    ...policy.environments.flatMap((one): Line[] => [
      ['gate', one.name, `promoted by ${one.promote}, rolled back by ${one.rollback}`],
      ...one.rules.map((rule): Line => ['', '', ruleText(rule)]),
      ...(one.freezes ?? []).map((freeze): Line => ['', '', `frozen: ${freeze.name}`]),
      ...(one.breakGlass === undefined ? [] : [['', '', `glass broken by ${one.breakGlass.threshold} of ${one.breakGlass.role}, for ${one.breakGlass.hours} hours at most`] as const]),
    ]),
    ['quorum', 'of the next version', quorumText(policy)],
  ];
}

function quorumText({ quorum }: Policy): string {
  return quorum.map(({ role, threshold }) => `${threshold} ${role}`).join(', ');
}

function personText({ roles, keys, validity = {}, identities = [], machine }: Person): string {
  const bounded = Object.values(validity).flatMap(({ from, until }) => [from === undefined ? '' : `from ${from}`, until === undefined ? '' : `until ${until}`]).filter((text) => text !== '');
  return [roles.join(', '), count(keys.length, 'key'), ...bounded, ...identities.map(({ subject }) => subject), ...(machine === true ? ['a machine'] : [])].join('; ');
}

function ruleText(rule: Rule): string {
  const back = rule.blocksRollback ? ', rollbacks too' : '';
  switch (rule.kind) {
    case 'cel':
      return `${rule.name}: ${rule.expression}${back}`;
    case 'approvals':
      return `${rule.threshold} ${rule.threshold === 1 ? 'approval' : 'approvals'} of ${rule.role}${rule.independent === true ? ', who neither ask nor build' : ''}${back}`;
    case 'rebuilt':
      return `rebuilt by ${rule.threshold} of ${rule.role}${back}`;
    case 'witnessed':
      return `${rule.threshold} witnesses${back}`;
    case 'soak':
      return `${rule.minutes} minutes in ${rule.environment}${back}`;
    case 'confirmed-in':
      return `confirmed in ${rule.environment}${back}`;
    default:
      return `${rule.kind}${'role' in rule ? ` by ${rule.role}` : ''}${back}`;
  }
}

/** What is taken away and what comes: `-` and `+`. Everything that two policies can differ in is in some line. */
export function changeLines(before: Policy, after: Policy): Line[] {
  const lines: Line[] = [];
  const compare = (what: string, old: readonly string[], fresh: readonly string[]) => {
    for (const text of old.filter((one) => !fresh.includes(one))) lines.push(['-', what, text]);
    for (const text of fresh.filter((one) => !old.includes(one))) lines.push(['+', what, text]);
  };
  compare('people', before.people.map(whole), after.people.map(whole));
  for (const name of new Set([...before.environments, ...after.environments].map((one) => one.name))) {
    const [old, fresh] = [before, after].map(({ environments }) => environments.find((one) => one.name === name));
    compare(name, old?.rules.map(ruleOf) ?? [], fresh?.rules.map(ruleOf) ?? []);
    const rest = (one: typeof old) => (one === undefined ? [] : Object.entries(one).filter(([key]) => key !== 'rules').map(([key, value]) => `${key} ${typeof value === 'string' ? value : JSON.stringify(value)}`));
    compare(name, rest(old), rest(fresh));
  }
  compare('quorum', [quorumText(before)], [quorumText(after)]);
  compare('revoke', [(before.revoke ?? []).join(', ')].filter((one) => one !== ''), [(after.revoke ?? []).join(', ')].filter((one) => one !== ''));
  compare('witnesses', (before.witnesses ?? []).map((one) => `${one.name} ${one.url} ${one.key}`), (after.witnesses ?? []).map((one) => `${one.name} ${one.url} ${one.key}`));
  return lines;
}

/** Keys too: who swaps one swaps a person. */
function whole(person: Person): string {
  const validity = Object.entries(person.validity ?? {}).map(([key, { from = '', until = '' }]) => `${key.slice(-12)} ${from}..${until}`);
  const identities = (person.identities ?? []).map(({ issuer, subject }) => `${subject} of ${issuer}`);
  return [`${person.name}: ${person.roles.join(', ')}`, ...person.keys.map((key) => `key ...${key.slice(-24)}`), ...validity, ...identities, ...(person.machine === true ? ['machine'] : [])].join('; ');
}

function ruleOf(rule: Rule): string {
  return `${ruleText(rule)}${rule.kind === 'cel' && rule.fix !== undefined ? `; fix: ${rule.fix}` : ''}`;
}
