import { PackageURL } from 'packageurl-js';
import { CairnError } from '#core';
import { affectedBy, judgeVersion, osvEntry, ratingOf, type OsvEntry } from './osv.ts';
import { scanPredicate, type Found } from './scan-predicate.ts';
import { ecosystemOf, normalName } from './versions.ts';

/** A package whose version cannot be held against an entry's ranges: neither affected nor free of it. */
interface Uncompared {
  readonly package: string;
  readonly id: string;
}

export interface Matched {
  readonly found: readonly Found[];
  readonly uncompared: readonly Uncompared[];
  /** purls of packages of an ecosystem that OSV has not, or that is not known here. */
  readonly unknown: readonly string[];
  readonly packages: number;
  readonly entries: number;
  /** Newest `modified` of any entry, RFC 3339; null where none says it. */
  readonly modified: string | null;
}

export interface Matcher {
  /** One file of the database. @throws CairnError `malformed-document`: a database that is cut off must not read as one that knows of nothing */
  add(bytes: Uint8Array, name: string): void;
  result(): Matched;
}

interface Wanted {
  readonly purl: string;
  readonly ecosystem: string;
  readonly name: string;
  readonly version: string;
}

/** Holds packages, by purl, against entries of a database in OSV's format. What it finds does not depend on the order of the entries. */
export function openMatcher(purls: readonly string[]): Matcher {
  const wanted = new Map<string, Wanted[]>();
  const unknown: string[] = [];
  for (const purl of [...new Set(purls)].toSorted()) {
    const one = read(purl);
    if (one === undefined) unknown.push(purl);
    else wanted.set(keyOf(one.ecosystem, one.name), [...(wanted.get(keyOf(one.ecosystem, one.name)) ?? []), one]);
  }
  const hits: { readonly found: Found; readonly names: readonly string[] }[] = [];
  const uncompared: Uncompared[] = [];
  let entries = 0;
  let modified: string | null = null;

  return {
    add(bytes, name) {
      const raw = parse(bytes, name);
      entries++;
      if (typeof raw.modified === 'string' && (modified === null || raw.modified > modified)) modified = raw.modified;
      // Most entries are about nothing that is here: only the others are looked at in full.
      const about = new Set(raw.affected.flatMap((of) => wanted.get(keyOf(of.ecosystem.split(':')[0] ?? '', of.name)) ?? []));
      if (about.size === 0) return;
      const parsed = osvEntry.safeParse(raw.value);
      if (!parsed.success) throw damaged(name, parsed.error.issues[0]?.message ?? 'it is no entry of OSV');
      if (parsed.data.withdrawn !== undefined && parsed.data.withdrawn !== '') return;
      for (const one of about) judge(parsed.data, one, hits, uncompared);
    },
    result: () => ({ found: merge(hits), uncompared: uncompared.toSorted((a, b) => order(a.package + a.id, b.package + b.id)), unknown, packages: new Set(purls).size, entries, modified }),
  };
}

export interface Database {
  readonly uri: string;
  /** `sha256:` of what was read. */
  readonly digest: string;
}

/** The predicate of a scan by ourselves. */
export function ownScan(matched: Matched, database: Database, scanner: { readonly version: string; readonly started: string; readonly finished: string }): object {
  const { found, uncompared, unknown, packages, entries, modified } = matched;
  const predicate = scanPredicate({
    scanner: { uri: 'https://cairn.internal/scanner', version: scanner.version },
    database: { uri: database.uri, version: database.digest, lastUpdate: modified },
    started: scanner.started, finished: scanner.finished, found,
  });
  return { ...predicate, 'https://cairn.internal/scan/v1': { packages, entries, uncompared, unknown } };
}

function judge(entry: OsvEntry, one: Wanted, hits: { found: Found; names: readonly string[] }[], uncompared: Uncompared[]): void {
  const judged = affectedBy(entry, one.ecosystem, one.name).map((part) => ({ part, ...judgeVersion(part, one.ecosystem, one.version) }));
  const [hit] = judged.filter(({ affected }) => affected).toSorted((a, b) => (ratingOf(entry, b.part).score ?? -1) - (ratingOf(entry, a.part).score ?? -1));
  if (hit !== undefined) hits.push({ found: { id: entry.id, aliases: [], package: one.purl, fixed: hit.fixed, ...ratingOf(entry, hit.part) }, names: [entry.id, ...(entry.aliases ?? [])] });
  else if (judged.some(({ comparable }) => !comparable)) uncompared.push({ package: one.purl, id: entry.id });
}

const severities = ['unknown', 'none', 'low', 'medium', 'high', 'critical'];

/** Entries that are aliases of each other are one vulnerability of a package: by its first name, as bad as the worst of them says. */
function merge(hits: readonly { readonly found: Found; readonly names: readonly string[] }[]): Found[] {
  const groups: { package: string; names: Set<string>; members: Found[] }[] = [];
  for (const { found, names } of hits.toSorted((a, b) => order(a.found.id, b.found.id))) {
    const same = groups.filter((group) => group.package === found.package && names.some((name) => group.names.has(name)));
    const [into = { package: found.package, names: new Set<string>(), members: [] }, ...others] = same;
    if (same.length === 0) groups.push(into);
    for (const other of others) {
      for (const name of other.names) into.names.add(name);
      into.members.push(...other.members);
      groups.splice(groups.indexOf(other), 1);
    }
    for (const name of names) into.names.add(name);
    into.members.push(found);
  }
  return groups.map(({ members, names }) => {
    const ids = members.map(({ id }) => id).toSorted(order);
    const [id = ''] = ids;
    const [worst] = members.toSorted((a, b) => (b.score ?? -1) - (a.score ?? -1) || severities.indexOf(b.severity) - severities.indexOf(a.severity));
    const fixed = members.map((one) => one.fixed).find((one) => one !== null) ?? null;
    const aliases = [...names].filter((name) => name !== id).toSorted(order);
    return { ...(worst as Found), id, aliases, fixed };
  });
}

function order(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function keyOf(ecosystem: string, name: string): string {
  return `${ecosystem} ${normalName(ecosystem, name)}`;
}

/** As OSV calls it; undefined where it has no such ecosystem, or the text is no purl with a version. */
function read(purl: string): Wanted | undefined {
  try {
    const { type, namespace, name, version } = PackageURL.fromString(purl);
    const ecosystem = type === undefined ? undefined : ecosystemOf(type);
    if (ecosystem === undefined || name === undefined || version === undefined || version === null) return undefined;
    const whole = [namespace, name].filter((part) => part !== undefined && part !== null && part !== '').join(ecosystem === 'Maven' ? ':' : '/');
    // Go's own library is `stdlib` in Go's database.
    return { purl, ecosystem, name: ecosystem === 'Go' && whole === 'std' ? 'stdlib' : whole, version };
  } catch {
    return undefined;
  }
}

interface Raw {
  readonly value: unknown;
  readonly modified: unknown;
  readonly affected: readonly { readonly ecosystem: string; readonly name: string }[];
}

function parse(bytes: Uint8Array, name: string): Raw {
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(bytes).toString('utf8'));
  } catch (cause) {
    throw damaged(name, 'it is not JSON', cause);
  }
  const { id, modified, affected } = (typeof value === 'object' && value !== null ? value : {}) as { id?: unknown; modified?: unknown; affected?: unknown };
  if (typeof id !== 'string' || id === '') throw damaged(name, 'it is no entry of OSV: it has no id');
  const packages = (Array.isArray(affected) ? (affected as readonly { package?: { ecosystem?: unknown; name?: unknown } }[]) : []).flatMap((one) => {
    const { ecosystem, name: of } = one?.package ?? {};
    return typeof ecosystem === 'string' && typeof of === 'string' ? [{ ecosystem, name: of }] : [];
  });
  return { value, modified, affected: packages };
}

function damaged(name: string, why: string, cause?: unknown): CairnError {
  return new CairnError('malformed-document', `${name} is refused: ${why}`, { cause, fix: 'Fetch the database again: one that is damaged would find less than there is' });
}
