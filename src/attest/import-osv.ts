import { z } from 'zod';
import { problemsOf } from '#core';
import { affectedBy, judgeVersion, osvEntry, ratingOf, ratingOfNumber, type OsvEntry, type Rating } from './osv.ts';
import { notA, reportJson, type Imported, type ReportFile } from './report.ts';
import { scanPredicate, type Found } from './scan-predicate.ts';
import { purlOf } from './versions.ts';

// What `osv-scanner --format json` writes (google/osv-scanner: pkg/models/results.go). `results` is empty where nothing was found, and
// must be there.

const most = 100_000;
const scanned = z.looseObject({
  package: z.looseObject({ name: z.string().max(1024), version: z.string().max(256).default(''), ecosystem: z.string().max(256).default(''), commit: z.string().max(128).optional() }),
  vulnerabilities: z.array(osvEntry).max(most).nullish(),
  groups: z.array(z.looseObject({ ids: z.array(z.string()).min(1).max(1000), aliases: z.array(z.string()).max(1000).nullish(), max_severity: z.string().optional() })).max(most).nullish(),
});
const report = z.looseObject({ results: z.array(z.looseObject({ packages: z.array(scanned).max(most) })).max(most) });

/** @throws CairnError `malformed-document` */
export function importOsv(file: ReportFile): Imported {
  const parsed = report.safeParse(reportJson(file, 'the OSV report'));
  if (!parsed.success) throw notA('the OSV report', problemsOf(parsed.error));
  const found = new Map<string, Found>();
  for (const one of parsed.data.results.flatMap(({ packages }) => packages)) for (const each of foundIn(one)) found.set(`${each.package} ${each.id}`, each);
  if (found.size > most) throw notA('the OSV report', `it has more than ${most} vulnerabilities`);
  return { format: 'osv', kind: 'scan', predicate: scanPredicate({ scanner: { uri: 'https://github.com/google/osv-scanner', version: null }, found: [...found.values()] }) };
}

/** One for each group: entries that are aliases of each other are one vulnerability, as bad as the worst of them says. */
function foundIn({ package: of, vulnerabilities, groups }: z.infer<typeof scanned>): Found[] {
  const entries = new Map((vulnerabilities ?? []).filter(({ withdrawn }) => withdrawn === undefined).map((one) => [one.id, one]));
  const grouped = (groups ?? []).map(({ ids, aliases, max_severity }) => ({ ids: ids.filter((id) => entries.has(id)), aliases: aliases ?? [], worst: max_severity })).filter(({ ids }) => ids.length > 0);
  const inGroups = new Set(grouped.flatMap(({ ids }) => ids));
  const alone = [...entries.keys()].filter((id) => !inGroups.has(id)).map((id) => ({ ids: [id], aliases: [], worst: undefined }));
  const purl = of.ecosystem === '' ? '' : purlOf(of.ecosystem, of.name, of.version);
  return [...grouped, ...alone].map(({ ids, aliases, worst }) => {
    const members = ids.flatMap((id) => entries.get(id) ?? []);
    const [id = ''] = ids;
    const names = new Set([...ids, ...aliases, ...members.flatMap((one) => one.aliases ?? [])]);
    names.delete(id);
    return { id, aliases: [...names].toSorted(), package: purl, fixed: fixOf(members, of), ...worstOf(members, of, worst) };
  });
}

function worstOf(members: readonly OsvEntry[], of: { ecosystem: string; name: string }, max: string | undefined): Rating {
  const ratings = members.flatMap((one) => {
    const parts = affectedBy(one, of.ecosystem, of.name);
    return parts.length === 0 ? [ratingOf(one)] : parts.map((part) => ratingOf(one, part));
  });
  const said = ratingOfNumber(max ?? '');
  return [...ratings, ...(said === undefined ? [] : [said])].toSorted((a, b) => rank(b) - rank(a))[0] ?? { severity: 'unknown', score: null, method: null, vector: null };
}

/** By score; a word stands for the lowest score that it is of. */
function rank({ severity, score }: Rating): number {
  return score ?? { unknown: -1, none: 0, low: 0.1, medium: 4, high: 7, critical: 9 }[severity];
}

function fixOf(members: readonly OsvEntry[], of: { ecosystem: string; name: string; version: string }): string | null {
  for (const one of members) {
    for (const part of affectedBy(one, of.ecosystem, of.name)) {
      const { fixed } = judgeVersion(part, of.ecosystem, of.version);
      if (fixed !== null) return fixed;
    }
  }
  return null;
}
