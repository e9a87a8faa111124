import type { Evidence, EvidenceStatement, Says, Severity } from './evidence.ts';
import type { FactsByName } from './facts.ts';
import type { Person } from './policy.ts';
import { wrongProvenance, type Bench } from './rules.ts';
import { judgeSigner } from './signer.ts';

// Facts from evidence: of the statements only those whose signer counts, by the policy, at their place in the log.

type Counted<K extends Says['kind']> = { readonly one: EvidenceStatement; readonly says: Extract<Says, { kind: K }>; readonly person: Person };

const ranks: Readonly<Record<Severity, number>> = { none: 0, low: 1, medium: 2, high: 3, critical: 4, unknown: 5 };
const levels = { none: 0, note: 1, warning: 2, error: 3 } as const;
const weekdays = ['sunday', 'monday', 'tuesday', 'wednesday', 'thursday', 'friday', 'saturday'] as const;

/** Each is computed when it is first read: most expressions read one or two. */
export function factValues(bench: Bench): FactsByName {
  const { policy, evidence, question } = bench;
  const counted = <K extends Says['kind']>(kind: K): Counted<K>[] =>
    evidence.statements.flatMap((one) => {
      if (one.says.kind !== kind || !isAbout(evidence, one)) return [];
      const { person, complaint } = judgeSigner(policy, evidence, one);
      return person === undefined || complaint !== undefined ? [] : [{ one, says: one.says as Extract<Says, { kind: K }>, person }];
    });
  const said = ({ one, person }: Pick<Counted<Says['kind']>, 'one' | 'person'>) => ({ by: person.name, roles: person.roles, machine: person.machine === true, at: one.time, entry: one.logIndex });
  const memo = <T>(make: () => T): (() => T) => {
    let made: { value: T } | undefined;
    return () => (made ??= { value: make() }).value;
  };
  const asker = policy.people.find(({ name }) => name === question.by);
  const scans = memo(() => newest(evidence, counted('scan'), ({ says }) => says.scanner));
  const findings = memo(() => newest(evidence, counted('findings'), ({ says }) => says.tool));
  const known = new Set((policy.witnesses ?? []).map(({ name }) => name));
  const last = Math.max(-1, ...evidence.statements.map(({ logIndex }) => logIndex));

  return {
    get release() {
      const { release, application, commit, source, changes, components, since } = evidence;
      return { digest: release, application, commit, source: source ?? '', clean: changes === null, components, since: since ?? undefined };
    },
    get question() {
      return { environment: question.environment, direction: question.direction, by: question.by, roles: asker?.roles ?? [] };
    },
    now: question.time,
    get calendar() {
      const at = new Date(question.time * 1000);
      return {
        year: at.getUTCFullYear(), month: at.getUTCMonth() + 1, day: at.getUTCDate(), weekday: weekdays[at.getUTCDay()] ?? 'sunday', hour: at.getUTCHours(), minute: at.getUTCMinutes(),
        date: at.toISOString().slice(0, 10),
      };
    },
    age: evidence.since === null ? 0 : Math.max(0, question.time - evidence.since),
    confirmed: evidence.confirmedIn.map(({ environment }) => environment),
    get soak() {
      return Object.fromEntries(evidence.confirmedIn.map(({ environment, time }) => [environment, Math.max(0, question.time - time)]));
    },
    get provenance() {
      return counted('provenance').filter(({ one, says, person }) => one.subjects.includes(evidence.release) && wrongProvenance(evidence, { says, signer: one.signer }, person) === undefined)
        .map((each) => ({ ...said(each), commit: each.says.commit, source: each.says.source, builder: each.says.builder }));
    },
    get sboms() {
      return counted('sbom').map((each) => ({ ...said(each), packages: each.says.packages.length, subjects: each.one.subjects }));
    },
    get packages() {
      return counted('sbom').flatMap((each) => each.says.packages.map(({ name, version, purl, licenses }) => ({ ...said(each), name, version, purl, type: /^pkg:([^/]+)\//.exec(purl)?.[1] ?? '', licenses })));
    },
    get tests() {
      return counted('tests').map((each) => ({ ...said(each), result: each.says.result, passed: each.says.passed ?? undefined, failed: each.says.failed ?? undefined }));
    },
    get scans() {
      return scans().map((each) => ({ ...said(each), scanner: each.says.scanner, finished: each.says.finished ?? undefined, vulnerabilities: each.says.vulnerabilities.length, subjects: each.one.subjects }));
    },
    get vulnerabilities() {
      return scans().flatMap((each) => each.says.vulnerabilities.map(({ id, package: of, severity, score, fixed }) => ({
        ...said(each), id, package: of, severity, rank: ranks[severity], score: score ?? undefined, fixed: fixed ?? undefined, scanner: each.says.scanner,
      })));
    },
    get findings() {
      return findings().flatMap((each) => each.says.findings.map(({ rule, level }) => ({ ...said(each), tool: each.says.tool, rule, level, rank: levels[level] })));
    },
    get approvals() {
      const own = counted('approval').filter(({ one, says, person }) =>
        one.subjects.includes(evidence.release) && says.application === evidence.application && says.environment === question.environment && says.by === person.name && says.expires > question.time);
      return [...new Map(own.map((each) => [each.person.name, each])).values()].map((each) => ({ ...said(each), expires: each.says.expires }));
    },
    get signatures() {
      return counted('signature').map(said);
    },
    get witnessed() {
      const { size, witnesses } = evidence.witnessed ?? { size: 0, witnesses: [] };
      return { size, witnesses: [...new Set(witnesses.filter((name) => known.has(name)))], covers: size > last };
    },
  };
}

/** Of the release or of what it is made of. */
function isAbout({ release, components }: Evidence, { subjects }: EvidenceStatement): boolean {
  return subjects.includes(release) || components.some((one) => subjects.includes(one));
}

/** One that a newer one by the same tool, about the same things, does not speak over: a scan after the mending is what counts. */
function newest<E extends { readonly one: EvidenceStatement }>({ release, components }: Evidence, all: readonly E[], tool: (one: E) => string): E[] {
  const kept = new Set([release, ...components].flatMap((subject) => [...new Map(all.filter(({ one }) => one.subjects.includes(subject)).map((each) => [tool(each), each])).values()]));
  return all.filter((each) => kept.has(each));
}
