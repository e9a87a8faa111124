import { z } from 'zod';
import { scoreOf, severityNamed, wordOf, type SeverityWord } from './cvss.ts';
import { orderOf, normalName, type Compare } from './versions.ts';

// An entry in OSV's format (ossf.github.io/osv-schema 1.7), as far as matching looks at it.

const text = z.string().max(4096);
const event = z.looseObject({ introduced: text.optional(), fixed: text.optional(), last_affected: text.optional(), limit: text.optional() });
const severity = z.looseObject({ type: text, score: text });
const range = z.looseObject({ type: text, events: z.array(event).max(100_000) });
const affected = z.looseObject({
  package: z.looseObject({ ecosystem: text, name: text, purl: text.optional() }).optional(),
  ranges: z.array(range).max(10_000).nullish(),
  versions: z.array(text).max(1_000_000).nullish(),
  severity: z.array(severity).max(64).nullish(),
  database_specific: z.unknown().optional(),
  ecosystem_specific: z.unknown().optional(),
});
export const osvEntry = z.looseObject({
  id: text.min(1),
  modified: text.optional(),
  withdrawn: text.optional(),
  aliases: z.array(text).max(10_000).nullish(),
  summary: text.optional().catch(undefined),
  severity: z.array(severity).max(64).nullish(),
  affected: z.array(affected).max(10_000).nullish(),
  database_specific: z.unknown().optional(),
});
export type OsvEntry = z.infer<typeof osvEntry>;
export type OsvAffected = z.infer<typeof affected>;

export interface Rating {
  readonly severity: SeverityWord;
  readonly score: number | null;
  /** `CVSS:4.0` or another; null where only a word says it. */
  readonly method: string | null;
  readonly vector: string | null;
}

const newest = ['CVSS:4.0', 'CVSS:3.1', 'CVSS:3.0', 'CVSS:2.0'];

/** Of the entry or of one of its packages: the worst score of the newest CVSS that is given, else the database's own word. */
export function ratingOf(entry: OsvEntry, one?: OsvAffected): Rating {
  const scored = [...(one?.severity ?? []), ...(entry.severity ?? [])].flatMap(({ score: vector }) => {
    const found = scoreOf(vector);
    return found === undefined ? [] : [{ ...found, vector }];
  });
  const method = newest.find((wanted) => scored.some((each) => each.method === wanted));
  const [worst] = scored.filter((each) => each.method === method).toSorted((a, b) => b.score - a.score);
  if (worst !== undefined) return worst;
  const said = [one?.ecosystem_specific, one?.database_specific, entry.database_specific].map((from) => severityNamed((from as { severity?: unknown } | null | undefined)?.severity)).find((word) => word !== undefined);
  return { severity: said ?? 'unknown', score: null, method: null, vector: null };
}

/** One that only a number tells, as OSV-Scanner writes of a group. */
export function ratingOfNumber(text: string): Rating | undefined {
  const score = text.trim() === '' ? Number.NaN : Number(text);
  return score >= 0 && score <= 10 ? { severity: wordOf(score), score, method: null, vector: null } : undefined;
}

/** Whether a version is affected, and the first one after it that is not. */
export function judgeVersion(one: OsvAffected, ecosystem: string, version: string): { affected: boolean; fixed: string | null; comparable: boolean } {
  const named = (one.versions ?? []).includes(version);
  let [hit, comparable] = [named, true];
  let fixed: string | null = null;
  for (const { type, events } of one.ranges ?? []) {
    if (type === 'GIT') continue;
    const compare = orderOf(ecosystem, type);
    const verdict = compare === undefined ? undefined : inRange(events, version, compare);
    if (verdict === undefined) comparable = false;
    else if (verdict) hit = true;
    if (compare === undefined) continue;
    for (const { fixed: at } of events) if (at !== undefined && (compare(at, version) ?? -1) > 0 && (fixed === null || (compare(at, fixed) ?? 0) < 0)) fixed = at;
  }
  return { affected: hit, fixed: hit ? fixed : null, comparable: comparable || named };
}

/**
 * OSV's algorithm ("Evaluation"): events in the order of their versions; after `introduced` it is affected, from `fixed` on not, after
 * `last_affected` not. undefined where a version cannot be ordered.
 */
function inRange(events: z.infer<typeof range>['events'], version: string, compare: Compare): boolean | undefined {
  let vulnerable = false;
  const at = (one: z.infer<typeof event>) => one.introduced ?? one.fixed ?? one.last_affected ?? one.limit ?? '';
  const order = (a: string, b: string) => (a === b ? 0 : a === '0' ? -1 : b === '0' ? 1 : compare(a, b));
  if (compare(version, version) === undefined || events.some((one) => at(one) !== '0' && compare(at(one), version) === undefined)) return undefined;
  for (const one of events.toSorted((a, b) => order(at(a), at(b)) ?? 0)) {
    if (one.introduced !== undefined && (one.introduced === '0' || (compare(version, one.introduced) ?? -1) >= 0)) vulnerable = true;
    else if (one.fixed !== undefined && (compare(version, one.fixed) ?? -1) >= 0) vulnerable = false;
    else if (one.last_affected !== undefined && (compare(version, one.last_affected) ?? -1) > 0) vulnerable = false;
    else if (one.limit !== undefined && one.limit !== '*' && (compare(version, one.limit) ?? -1) >= 0) vulnerable = false;
  }
  return vulnerable;
}

/** The parts of an entry that speak of a package. */
export function affectedBy(entry: OsvEntry, ecosystem: string, name: string): OsvAffected[] {
  const wanted = normalName(ecosystem, name);
  return (entry.affected ?? []).filter(({ package: of }) => of !== undefined && of.ecosystem.split(':')[0] === ecosystem.split(':')[0] && normalName(ecosystem, of.name) === wanted);
}
