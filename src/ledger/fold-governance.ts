import { subjectDigests, type PredicateOf } from '#attest';
import type { Entry } from './fold.ts';
import type { Database } from './schema.ts';

// What revocations, broken glass and incidents do to the index.

export async function foldRevocation(index: Database, entry: Entry, { application, by, reason }: PredicateOf<'revocation'>): Promise<void> {
  const [release = ''] = subjectDigests(entry.statement);
  await index.insertInto('revocations').values({ application, release, idx: entry.logIndex, by_whom: by, reason }).onConflict((on) => on.doNothing()).execute();
}

/** Each stands: of two that name a key, the one that takes back more counts, whichever was first. */
export async function foldKeyRevocation(index: Database, entry: Entry, { key, after, by, reason }: PredicateOf<'keyRevocation'>): Promise<void> {
  await index.insertInto('key_revocations').values({ idx: entry.logIndex, key, after_idx: after, by_whom: by, reason }).execute();
}

export async function foldPackageRevocation(index: Database, entry: Entry, { purl, by, reason }: PredicateOf<'packageRevocation'>): Promise<void> {
  await index.insertInto('package_revocations').values({ idx: entry.logIndex, purl, by_whom: by, reason }).execute();
}

export async function foldBreakGlass(index: Database, entry: Entry, { application, environment, by, reason, expires }: PredicateOf<'breakGlass'>): Promise<void> {
  const [release = ''] = subjectDigests(entry.statement);
  await index.insertInto('broken_glass').values({ envelope: entry.digest, idx: entry.logIndex, application, environment, release, by_whom: by, reason, expires: Math.floor(Date.parse(expires) / 1000), used_by: null }).execute();
}

/** A verdict that let a promotion pass rules which did not hold: the statements that it rests on are used up, and a debt is left. */
export async function foldBrokenRules(index: Database, entry: Entry, verdict: PredicateOf<'verdict'>['https://cairn.internal/verdict/v1']): Promise<void> {
  const broken = verdict.rules.filter(({ waived }) => waived === true).map(({ rule }) => rule);
  const envelopes = verdict.rules.find(({ rule, passed }) => rule === 'break-glass' && passed)?.evidence ?? [];
  const [first] = envelopes;
  if (broken.length === 0 || first === undefined) return;
  const { operation, application, environment, release } = verdict;
  const used = await index.selectFrom('broken_glass').selectAll().where('envelope', 'in', envelopes).orderBy('idx').execute();
  await index.updateTable('broken_glass').set({ used_by: operation }).where('envelope', 'in', envelopes).execute();
  await index.insertInto('debts').values({
    envelope: first, idx: entry.logIndex, time: entry.time, application, environment, release, by_whom: [...new Set(used.map(({ by_whom }) => by_whom))].join(', '),
    reason: [...new Set(used.map(({ reason }) => reason))].join('; '), rules: JSON.stringify(broken), settled_by: null, settled_idx: null, settled_reason: null,
  }).onConflict((on) => on.doNothing()).execute();
}

export async function foldSettlement(index: Database, entry: Entry, { breakGlass, by, reason }: PredicateOf<'settlement'>): Promise<void> {
  await index.updateTable('debts').set({ settled_by: by, settled_idx: entry.logIndex, settled_reason: reason }).where('envelope', '=', breakGlass).where('settled_idx', 'is', null).execute();
}

/** What was resolved stays so; whoever takes it on last owns it. */
export async function foldResolution(index: Database, entry: Entry, { incident, action, by, owner, resolution }: PredicateOf<'resolution'>): Promise<void> {
  const change = action === 'own' ? { owner } : { owner, resolution, resolved_by: by, resolved_idx: entry.logIndex };
  await index.updateTable('incidents').set(change).where('idx', '=', incident).where('resolved_idx', 'is', null).execute();
}
