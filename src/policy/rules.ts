import { shortDigest, type Digest } from '#core';
import type { Judged } from './decide.ts';
import type { Evidence, EvidenceStatement, Question, Says } from './evidence.ts';
import type { Person, Policy, Rule } from './policy.ts';
import { fail, pass } from './result.ts';
import { holderOf, judgeSigner } from './signer.ts';

type RuleOf<K extends Rule['kind']> = Extract<Rule, { kind: K }>;
type Saying<K extends Says['kind']> = EvidenceStatement & { readonly says: Extract<Says, { kind: K }> };

function saying<K extends Says['kind']>(evidence: Evidence, kind: K): Saying<K>[] {
  return evidence.statements.filter((one): one is Saying<K> => one.says.kind === kind);
}

/** What the rules of one decision judge by. */
export interface Bench {
  readonly policy: Policy;
  readonly evidence: Evidence;
  readonly question: Question;
}

/** The first statement that nothing speaks against, or what speaks against the last one. */
function choose<S extends EvidenceStatement>(statements: readonly S[], bench: Bench, role: string, complaintOf: (one: S, person: Person) => string | undefined): { good: S | undefined; by: string; nearest: string | null; missed: readonly Digest[] } {
  let nearest: string | null = null;
  let missed: readonly Digest[] = [];
  for (const one of statements) {
    const { person, complaint } = countedSigner(bench, one, role);
    const wrong = complaint ?? (person === undefined ? 'is signed by nobody' : complaintOf(one, person));
    if (wrong === undefined && person !== undefined) return { good: one, by: person.name, nearest: null, missed: [] };
    nearest = `log entry ${one.logIndex} ${wrong}`;
    missed = [one.envelope];
  }
  return { good: undefined, by: '', nearest, missed };
}

type Counted = { readonly person: Person; readonly complaint: undefined } | { readonly person: Person | undefined; readonly complaint: string };

/** Who signed, if it is a person of the role with nothing against the signature. */
export function countedSigner({ policy, evidence }: Pick<Bench, 'policy' | 'evidence'>, one: EvidenceStatement, role: string): Counted {
  const { person, complaint } = judgeSigner(policy, evidence, one);
  if (person === undefined || complaint !== undefined) return { person, complaint: complaint ?? 'is signed by nobody' };
  return person.roles.includes(role) ? { person, complaint: undefined } : { person, complaint: `is signed by ${person.name}, who is no ${role}` };
}

/** What speaks against provenance as provenance of this release. Machines of others name their own builders; ours is named after who signs. */
export function wrongProvenance(evidence: Evidence, { says, signer }: Pick<Saying<'provenance'>, 'says' | 'signer'>, person: Person): string | undefined {
    if (says.commit !== evidence.commit) return `names commit ${says.commit.slice(0, 7)}, the release ${evidence.commit.slice(0, 7)}`;
    if (says.changes !== evidence.changes) return 'was built from another tree than the release says';
    if (evidence.source !== null && says.source !== evidence.source) return `names the source ${says.source}, the release ${evidence.source}`;
    if (signer.kind === 'identity') return undefined;
    return says.builder.endsWith(`/builders/${person.name}`) ? undefined : `names the builder ${says.builder}, but is signed by ${person.name}`;
}

export function judgeProvenance(bench: Bench, rule: RuleOf<'provenance'>): Judged {
  const { evidence } = bench;
  const all = saying(evidence, 'provenance').filter((one) => one.subjects.includes(evidence.release));
  const { good, by, nearest, missed } = choose(all, bench, rule.role, (one, person) => wrongProvenance(evidence, one, person));
  if (good !== undefined) return pass('provenance', `built by ${by} from ${evidence.commit.slice(0, 7)}`, rule, [good.envelope]);
  return fail('provenance', all.length === 0 ? 'no provenance in the log' : `none of ${all.length} counts`, rule, { nearest, fix: `A ${rule.role} runs: cairn release`, cause: causeOf(all), evidence: missed });
}

export function judgeSbom(bench: Bench, rule: RuleOf<'sbom'>): Judged {
  const { evidence } = bench;
  const all = saying(evidence, 'sbom');
  const { good, nearest, missed } = choose(all, bench, 'builder', ({ subjects }) => {
    const missing = evidence.components.filter((one) => !subjects.includes(one)).length;
    return missing === 0 ? undefined : `leaves out ${missing} of ${evidence.components.length} components`;
  });
  if (good !== undefined) return pass('sbom', `${good.says.packages.length} ${good.says.packages.length === 1 ? 'package' : 'packages'}`, rule, [good.envelope]);
  return fail('sbom', all.length === 0 ? 'no SBOM in the log' : `none of ${all.length} counts`, rule, { nearest, fix: 'A builder runs: cairn release', cause: causeOf(all), evidence: missed });
}

export function judgeTests(bench: Bench, rule: RuleOf<'tests'>): Judged {
  const { evidence } = bench;
  const all = saying(evidence, 'tests').filter((one) => one.subjects.includes(evidence.release));
  // One failed run is not outvoted by a passed one before it: the newest that counts speaks.
  const counted = all.filter((one) => countedSigner(bench, one, rule.role).complaint === undefined);
  const newest = counted.at(-1);
  if (newest?.says.result === 'PASSED') return pass('tests', newest.says.passed === null ? 'passed' : `${newest.says.passed} passed`, rule, [newest.envelope]);
  const last = all.at(-1);
  const nearest = newest !== undefined ? `log entry ${newest.logIndex} says ${newest.says.result}` : last === undefined ? null : `log entry ${last.logIndex} ${countedSigner(bench, last, rule.role).complaint}`;
  const found = newest !== undefined ? 'the tests did not pass' : all.length === 0 ? 'no test result in the log' : `none of ${all.length} counts`;
  const missed = newest ?? last;
  return fail('tests', found, rule, { nearest, cause: causeOf(all), evidence: missed === undefined ? [] : [missed.envelope], fix: 'Give cairn.yaml a stage named test that runs them, commit, and run: cairn release' });
}

export function judgeClean({ evidence }: Bench, rule: RuleOf<'clean'>): Judged {
  if (evidence.changes === null) return pass('clean', 'the commit as it is', rule);
  return fail('clean', 'built from a tree with changes that are in no commit', rule, { nearest: `tree ${evidence.changes.slice(0, 7)} over commit ${evidence.commit.slice(0, 7)}`, fix: 'Commit the changes and run: cairn release', cause: 'unmet' });
}

export function judgeConfirmed({ evidence, question }: Bench, rule: RuleOf<'confirmed-in'>): Judged {
  const label = `confirmed-in ${rule.environment}`;
  const names = evidence.confirmedIn.map(({ environment }) => environment);
  if (names.includes(rule.environment)) return pass(label, `was confirmed in ${rule.environment}`, rule);
  const nearest = names.length === 0 ? null : `it was confirmed in ${names.join(', ')}`;
  const fix = `cairn promote ${shortDigest(evidence.release)} ${rule.environment}, then again ${question.environment}`;
  return fail(label, `was never confirmed in ${rule.environment}`, rule, { nearest, fix, cause: names.length === 0 ? 'absent' : 'unmet' });
}

export function judgeSoak({ evidence, question }: Bench, rule: RuleOf<'soak'>): Judged {
  const since = evidence.confirmedIn.find(({ environment }) => environment === rule.environment)?.time;
  // No minutes that passed: until it opens the answer stays the same, to the letter.
  if (since !== undefined && question.time - since >= rule.minutes * 60) return pass('soak', `was in ${rule.environment} for ${rule.minutes} minutes`, rule);
  const found = since === undefined ? `was never in ${rule.environment}, ${rule.minutes} minutes are asked for` : `is not yet in ${rule.environment} for ${rule.minutes} minutes`;
  if (since === undefined) return fail('soak', found, rule, { nearest: null, fix: `cairn promote ${shortDigest(evidence.release)} ${rule.environment}`, cause: 'absent' });
  const opens = since + Math.ceil(rule.minutes * 60);
  return fail('soak', found, rule, { nearest: `opens at ${minuteOf(opens)} UTC`, fix: `Wait, then: cairn promote ${shortDigest(evidence.release)} ${question.environment}`, cause: 'unmet' }, opens);
}

function minuteOf(time: number): string {
  return new Date(time * 1000).toISOString().slice(0, 16).replace('T', ' ');
}

function causeOf(found: readonly unknown[]): 'absent' | 'unmet' {
  return found.length === 0 ? 'absent' : 'unmet';
}

/** Counts people, never keys or signatures: a person with two keys, or who signs twice, is one. */
export function judgeApprovals(bench: Bench, rule: RuleOf<'approvals'>): Judged {
  const { policy, evidence, question } = bench;
  const barred = rule.independent === true ? partial(bench) : new Set<string>();
  const people = new Set<string>();
  const used: Digest[] = [];
  let nearest: string | null = null;
  let missed: readonly Digest[] = [];
  // What does not count now may not count later either; what counts does so until it expires.
  const ends: number[] = [];
  const asks = policy.people.find(({ name }) => name === question.by);
  if (asks?.roles.includes(rule.role) === true && asks.machine !== true && !barred.has(asks.name)) people.add(asks.name);
  for (const one of saying(evidence, 'approval')) {
    const { says } = one;
    if (says.environment !== question.environment || says.application !== evidence.application) continue;
    const { person, complaint: signer } = countedSigner(bench, one, rule.role);
    const complaint = signer ?? (person.machine === true ? `is by ${person.name}, a machine` : barred.has(person.name) ? `is by ${person.name}, who built the release or asks for it` : undefined)
      ?? (!one.subjects.includes(evidence.release) ? 'is about another release' : says.by !== person?.name ? `says it is by ${says.by}` : says.expires <= question.time ? `by ${says.by} has expired` : undefined);
    if (complaint !== undefined || person === undefined) {
      nearest = `log entry ${one.logIndex} ${complaint}`;
      missed = [one.envelope];
    } else {
      people.add(person.name);
      used.push(one.envelope);
      ends.push(Math.ceil(says.expires));
    }
  }
  const until = ends.length === 0 ? undefined : Math.min(...ends);
  const found = `${rule.role}: ${people.size} of ${rule.threshold} people${people.size === 0 ? '' : ` (${[...people].join(', ')})`}`;
  if (people.size >= rule.threshold) return pass('approvals', found, rule, used, until);
  const others = policy.people.filter(({ name, roles, machine }) => machine !== true && roles.includes(rule.role) && !people.has(name) && !barred.has(name)).map(({ name }) => name);
  const who = others.length === 0 ? `The policy has too few people with the role ${rule.role}: add one` : `${others.join(' or ')}: cairn approve ${shortDigest(evidence.release)} ${question.environment}`;
  return fail('approvals', found, rule, { nearest, fix: who, cause: people.size === 0 && nearest === null ? 'absent' : 'unmet', evidence: [...used, ...missed] }, until);
}

/** Who built the release or asks for it: no independent eyes. */
function partial({ policy, evidence, question }: Bench): Set<string> {
  const built = saying(evidence, 'provenance').filter((one) => one.subjects.includes(evidence.release)).flatMap((one) => holderOf(policy, one.signer)?.name ?? []);
  return new Set([question.by, ...built]);
}

/** Counts builders, never signatures: one who builds twice proves nothing about another machine. */
export function judgeRebuilt(bench: Bench, rule: RuleOf<'rebuilt'>): Judged {
  const { policy, evidence } = bench;
  const builders = new Set<string>();
  const used: Digest[] = [];
  let nearest: string | null = null;
  let missed: readonly Digest[] = [];
  for (const one of saying(evidence, 'provenance').filter(({ subjects }) => subjects.includes(evidence.release))) {
    const { person, complaint: signer } = countedSigner(bench, one, rule.role);
    const complaint = signer ?? wrongProvenance(evidence, one, person);
    if (complaint !== undefined || person === undefined) {
      nearest = `log entry ${one.logIndex} ${complaint}`;
      missed = [one.envelope];
    } else {
      builders.add(person.name);
      used.push(one.envelope);
    }
  }
  const found = `${builders.size} of ${rule.threshold} builders got the same digest${builders.size === 0 ? '' : ` (${[...builders].join(', ')})`}`;
  if (builders.size >= rule.threshold) return pass('rebuilt', found, rule, used);
  const others = policy.people.filter(({ name, roles }) => roles.includes(rule.role) && !builders.has(name)).map(({ name }) => name);
  return fail('rebuilt', found, rule, { nearest, cause: builders.size === 0 && nearest === null ? 'absent' : 'unmet', evidence: [...used, ...missed], fix: others.length === 0 ? `The policy has too few people or machines with the role ${rule.role}: add one` : `${others.join(' or ')}, on a machine of their own, at ${evidence.commit.slice(0, 7)}: cairn release` });
}

/** A checkpoint that too few witnesses have seen may be shown to us alone. */
export function judgeWitnessed({ policy, evidence }: Bench, rule: RuleOf<'witnessed'>): Judged {
  const known = new Set((policy.witnesses ?? []).map(({ name }) => name));
  const newest = Math.max(-1, ...evidence.statements.map(({ logIndex }) => logIndex));
  const witnesses = evidence.witnessed !== null && evidence.witnessed.size > newest ? new Set(evidence.witnessed.witnesses.filter((name) => known.has(name))) : new Set<string>();
  const found = `${witnesses.size} of ${rule.threshold} witnesses${witnesses.size === 0 ? '' : ` (${[...witnesses].join(', ')})`}`;
  if (witnesses.size >= rule.threshold) return pass('witnessed', found, rule);
  const silent = evidence.sources.find(({ name }) => known.has(name));
  const nearest = silent !== undefined ? `${silent.name} is ${silent.state}: ${silent.detail}` : (evidence.witnessed === null ? null : `${evidence.witnessed.size} entries are witnessed, entry ${newest} is weighed`);
  return fail('witnessed', found, rule, { nearest, cause: silent?.state ?? (evidence.witnessed === null ? 'absent' : 'unmet'), fix: 'cairn status names the witnesses; start those that are away, then ask again' });
}
