import { shortDigest, type Digest } from '#core';
import type { Judged } from './decide.ts';
import type { Evidence, EvidenceStatement, Question, Says } from './evidence.ts';
import { personOf, type Person, type Policy, type Rule } from './policy.ts';
import { fail, pass } from './result.ts';

type RuleOf<K extends Rule['kind']> = Extract<Rule, { kind: K }>;
type Saying<K extends Says['kind']> = EvidenceStatement & { readonly says: Extract<Says, { kind: K }> };

function saying<K extends Says['kind']>(evidence: Evidence, kind: K): Saying<K>[] {
  return evidence.statements.filter((one): one is Saying<K> => one.says.kind === kind);
}

/** The first statement that nothing speaks against, or what speaks against the last one. */
function choose<S extends EvidenceStatement>(statements: readonly S[], complaintOf: (one: S, person: Person | undefined) => string | undefined, policy: Policy): { good: S | undefined; by: string; nearest: string | null } {
  let nearest: string | null = null;
  for (const one of statements) {
    const person = personOf(policy, one.key);
    const complaint = complaintOf(one, person);
    if (complaint === undefined) return { good: one, by: person?.name ?? '', nearest: null };
    nearest = `log entry ${one.logIndex} ${complaint}`;
  }
  return { good: undefined, by: '', nearest };
}

function wrongSigner(person: Person | undefined, role: Person['roles'][number]): string | undefined {
  if (person === undefined) return 'is signed by a key that the policy does not know';
  return person.roles.includes(role) ? undefined : `is signed by ${person.name}, who is no ${role}`;
}

export function judgeProvenance(policy: Policy, rule: RuleOf<'provenance'>, evidence: Evidence): Judged {
  const all = saying(evidence, 'provenance').filter((one) => one.subjects.includes(evidence.release));
  const { good, by, nearest } = choose(all, ({ says }, person) => {
    const signer = wrongSigner(person, rule.role);
    if (signer !== undefined) return signer;
    if (says.commit !== evidence.commit) return `names commit ${says.commit.slice(0, 7)}, the release ${evidence.commit.slice(0, 7)}`;
    if (says.changes !== evidence.changes) return 'was built from another tree than the release says';
    if (evidence.source !== null && says.source !== evidence.source) return `names the source ${says.source}, the release ${evidence.source}`;
    return says.builder.endsWith(`/builders/${person?.name}`) ? undefined : `names the builder ${says.builder}, but is signed by ${person?.name}`;
  }, policy);
  if (good !== undefined) return pass('provenance', `built by ${by} from ${evidence.commit.slice(0, 7)}`, rule, [good.envelope]);
  return fail('provenance', all.length === 0 ? 'no provenance in the log' : `none of ${all.length} counts`, rule, { nearest, fix: `A ${rule.role} runs: cairn release` });
}

export function judgeSbom(policy: Policy, rule: RuleOf<'sbom'>, evidence: Evidence): Judged {
  const all = saying(evidence, 'sbom');
  const { good, nearest } = choose(all, ({ subjects }, person) => {
    const missing = evidence.components.filter((one) => !subjects.includes(one)).length;
    return wrongSigner(person, 'builder') ?? (missing === 0 ? undefined : `leaves out ${missing} of ${evidence.components.length} components`);
  }, policy);
  if (good !== undefined) return pass('sbom', `${good.says.packages} packages`, rule, [good.envelope]);
  return fail('sbom', all.length === 0 ? 'no SBOM in the log' : `none of ${all.length} counts`, rule, { nearest, fix: 'A builder runs: cairn release' });
}

export function judgeTests(policy: Policy, rule: RuleOf<'tests'>, evidence: Evidence): Judged {
  const all = saying(evidence, 'tests').filter((one) => one.subjects.includes(evidence.release));
  // One failed run is not outvoted by a passed one before it: the newest that counts speaks.
  const counted = all.filter((one) => wrongSigner(personOf(policy, one.key), rule.role) === undefined);
  const newest = counted.at(-1);
  if (newest?.says.result === 'PASSED') return pass('tests', newest.says.passed === null ? 'passed' : `${newest.says.passed} passed`, rule, [newest.envelope]);
  const last = all.at(-1);
  const nearest = newest !== undefined ? `log entry ${newest.logIndex} says ${newest.says.result}` : last === undefined ? null : `log entry ${last.logIndex} ${wrongSigner(personOf(policy, last.key), rule.role)}`;
  const found = newest !== undefined ? 'the tests did not pass' : all.length === 0 ? 'no test result in the log' : `none of ${all.length} counts`;
  return fail('tests', found, rule, { nearest, fix: 'Give cairn.yaml a stage named test that runs them, commit, and run: cairn release' });
}

export function judgeClean(rule: RuleOf<'clean'>, evidence: Evidence): Judged {
  if (evidence.changes === null) return pass('clean', 'the commit as it is', rule);
  return fail('clean', 'built from a tree with changes that are in no commit', rule, { nearest: `tree ${evidence.changes.slice(0, 7)} over commit ${evidence.commit.slice(0, 7)}`, fix: 'Commit the changes and run: cairn release' });
}

export function judgeConfirmed(rule: RuleOf<'confirmed-in'>, evidence: Evidence, question: Question): Judged {
  const label = `confirmed-in ${rule.environment}`;
  const names = evidence.confirmedIn.map(({ environment }) => environment);
  if (names.includes(rule.environment)) return pass(label, `was confirmed in ${rule.environment}`, rule);
  const nearest = names.length === 0 ? null : `it was confirmed in ${names.join(', ')}`;
  const fix = `cairn promote ${shortDigest(evidence.release)} ${rule.environment}, then again ${question.environment}`;
  return fail(label, `was never confirmed in ${rule.environment}`, rule, { nearest, fix });
}

export function judgeSoak(rule: RuleOf<'soak'>, evidence: Evidence, question: Question): Judged {
  const since = evidence.confirmedIn.find(({ environment }) => environment === rule.environment)?.time;
  const minutes = since === undefined ? 0 : Math.max(0, Math.floor((question.time - since) / 60));
  const found = `in ${rule.environment} ${minutes} of ${rule.minutes} minutes`;
  if (since !== undefined && question.time - since >= rule.minutes * 60) return pass('soak', found, rule);
  if (since === undefined) return fail('soak', found, rule, { nearest: null, fix: `cairn promote ${shortDigest(evidence.release)} ${rule.environment}` });
  const opens = new Date((since + rule.minutes * 60) * 1000).toISOString().slice(0, 16).replace('T', ' ');
  return fail('soak', found, rule, { nearest: `opens at ${opens} UTC`, fix: `Wait, then: cairn promote ${shortDigest(evidence.release)} ${question.environment}` });
}

/** Counts people, never keys or signatures: a person with two keys, or who signs twice, is one. */
export function judgeApprovals(policy: Policy, rule: RuleOf<'approvals'>, evidence: Evidence, question: Question): Judged {
  const people = new Set<string>();
  const used: Digest[] = [];
  let nearest: string | null = null;
  if (policy.people.find(({ name }) => name === question.by)?.roles.includes(rule.role) === true) people.add(question.by);
  for (const one of saying(evidence, 'approval')) {
    const { says } = one;
    if (says.environment !== question.environment || says.application !== evidence.application) continue;
    const person = personOf(policy, one.key);
    const complaint = wrongSigner(person, rule.role)
      ?? (!one.subjects.includes(evidence.release) ? 'is about another release' : says.by !== person?.name ? `says it is by ${says.by}` : says.expires <= question.time ? `by ${says.by} has expired` : undefined);
    if (complaint !== undefined || person === undefined) nearest = `log entry ${one.logIndex} ${complaint}`;
    else {
      people.add(person.name);
      used.push(one.envelope);
    }
  }
  const found = `${rule.role}: ${people.size} of ${rule.threshold} people${people.size === 0 ? '' : ` (${[...people].join(', ')})`}`;
  if (people.size >= rule.threshold) return pass('approvals', found, rule, used);
  const others = policy.people.filter(({ name, roles }) => roles.includes(rule.role) && !people.has(name)).map(({ name }) => name);
  const who = others.length === 0 ? `The policy has too few people with the role ${rule.role}: add one` : `${others.join(' or ')}: cairn approve ${shortDigest(evidence.release)} ${question.environment}`;
  return fail('approvals', found, rule, { nearest, fix: who });
}
