import { parsePredicate, predicateTypes, subjectDigests, type PredicateOf, type Statement } from '#attest';
import { CairnError, canonicalJson, type Digest } from '#core';
import { contentHash, advance, type State } from '#release';
import { foldBreakGlass, foldBrokenRules, foldKeyRevocation, foldPackageRevocation, foldResolution, foldRevocation, foldSettlement } from './fold-governance.ts';
import { foldPolicy } from './fold-policy.ts';
import type { Database, Tables } from './schema.ts';
import type { Connection } from './sqlite.ts';

/** One statement that counts, at its place in the log. */
export interface Entry {
  readonly logIndex: number;
  readonly digest: Digest;
  readonly time: number;
  /** base64 SPKI of the key that signed. */
  readonly key: string;
  readonly statement: Statement;
}

/** The rows that every statement gets, whatever it says. */
export function placer(connection: Connection): (entry: Entry) => void {
  const statements = connection.prepare('insert into statements (idx, digest, predicate_type, time) values (?, ?, ?, ?)');
  const subjects = connection.prepare('insert into subjects (digest, predicate_type, idx) values (?, ?, ?)');
  return ({ logIndex, digest, time, statement }) => {
    statements.run(logIndex, digest, statement.predicateType, time);
    for (const subject of new Set(subjectDigests(statement))) subjects.run(subject, statement.predicateType, logIndex);
  };
}

/**
 * The fold: what one statement does to the index beside its place in it. It reads nothing but the index and the statement, so that the log alone
 * determines every row; live appends and `ledger rebuild` both run it.
 */
export async function fold(index: Database, entry: Entry): Promise<void> {
  const { statement } = entry;
  switch (statement.predicateType) {
    case predicateTypes.policy:
      return foldPolicy(index, entry);
    case predicateTypes.request:
      return foldRequest(index, entry, parsePredicate('request', statement));
    case predicateTypes.verdict:
      return foldVerdict(index, entry, parsePredicate('verdict', statement));
    case predicateTypes.intent:
      return setState(index, parsePredicate('intent', statement).operation, 'preparing', {});
    case predicateTypes.outcome:
      return foldOutcome(index, entry, parsePredicate('outcome', statement));
    case predicateTypes.revocation:
      return foldRevocation(index, entry, parsePredicate('revocation', statement));
    case predicateTypes.keyRevocation:
      return foldKeyRevocation(index, entry, parsePredicate('keyRevocation', statement));
    case predicateTypes.packageRevocation:
      return foldPackageRevocation(index, entry, parsePredicate('packageRevocation', statement));
    case predicateTypes.breakGlass:
      return foldBreakGlass(index, entry, parsePredicate('breakGlass', statement));
    case predicateTypes.settlement:
      return foldSettlement(index, entry, parsePredicate('settlement', statement));
    case predicateTypes.resolution:
      return foldResolution(index, entry, parsePredicate('resolution', statement));
    case predicateTypes.incident: {
      const { application, environment, code, what } = parsePredicate('incident', statement);
      const [release = ''] = subjectDigests(statement);
      await index.insertInto('incidents').values({ idx: entry.logIndex, time: entry.time, application, environment, release, code, what, owner: null, resolution: null, resolved_by: null, resolved_idx: null }).execute();
      return;
    }
    default:
      return;
  }
}

async function foldRequest(index: Database, entry: Entry, request: PredicateOf<'request'>): Promise<void> {
  const { application, environment, configuration, secrets } = request;
  const [release] = subjectDigests(entry.statement);
  if (release === undefined) return;
  if (request.action === 'resume') {
    // A content stands for itself where both sides of the rollback were of one release.
    const contents = await index.selectFrom('revisions').select('content').distinct().where('application', '=', application).where('environment', '=', environment).where('release', '=', release).execute();
    const digests = [release, ...contents.map(({ content }) => content)];
    await index.deleteFrom('quarantines').where('application', '=', application).where('environment', '=', environment).where('digest', 'in', digests).execute();
    return;
  }
  if (request.action === 'traffic') {
    const live = index.updateTable('revisions').set({ share: request.share ?? 100 }).where('application', '=', application).where('environment', '=', environment);
    await live.where('state', 'in', ['live', 'confirmed']).execute();
    return;
  }
  const head = await index.selectFrom('revisions').select((all) => all.fn.max('number').as('number')).where('application', '=', application).where('environment', '=', environment).executeTakeFirst();
  await index.insertInto('revisions').values({
    application, environment, number: (head?.number ?? 0) + 1, state: 'proposed',
    // A rollback is named by the operation that its caller chose, which the runner's journal names too.
    operation: request.action === 'rollback' ? request.nonce : entry.digest,
    release, content: contentHash({ release, configuration, secrets }),
    configuration: canonicalJson(configuration).toString('utf8'), secrets: canonicalJson(secrets).toString('utf8'),
    confirmed: 0, restores: request.restores, by_whom: request.by, reason: request.reason, verdict: null, journal: null,
    share: request.share ?? 100, confirmed_at: null,
  }).execute();
}

async function foldVerdict(index: Database, entry: Entry, verdict: PredicateOf<'verdict'>): Promise<void> {
  const said = verdict['https://cairn.internal/verdict/v1'];
  const passed = verdict.verificationResult === 'PASSED';
  await setState(index, said.operation, passed ? 'admitted' : 'denied', { verdict: entry.digest });
  if (passed) await foldBrokenRules(index, entry, said);
}

async function foldOutcome(index: Database, entry: Entry, outcome: PredicateOf<'outcome'>): Promise<void> {
  const { operation, application, environment, state, journal } = outcome;
  if (state === 'failed') return setState(index, operation, 'failed', {});
  const revision = await revisionBy(index, operation);
  if (revision.state === 'preparing') await replaceLive(index, application, environment, revision);
  await setState(index, operation, state, { ...(journal !== null && { journal }), ...(state === 'confirmed' && { confirmed: 1, confirmed_at: entry.time }) });
}

/** A revision goes live: the one before it steps aside, and, where this one is a rollback, may not come back unasked. */
async function replaceLive(index: Database, application: string, environment: string, next: Tables['revisions']): Promise<void> {
  const inTimeline = index.selectFrom('revisions').selectAll().where('application', '=', application).where('environment', '=', environment);
  for (const standby of await inTimeline.where('state', '=', 'standby').execute()) await setState(index, standby.operation, 'retained', {});
  const before = await inTimeline.where('state', 'in', ['live', 'confirmed']).executeTakeFirst();
  if (before === undefined) return;
  await setState(index, before.operation, next.restores === null ? 'standby' : 'reverted', {});
  if (next.restores === null) return;
  const digest = before.release === next.release ? before.content : before.release;
  await index.insertInto('quarantines').values({ application, environment, digest }).onConflict((on) => on.doNothing()).execute();
}

async function setState(index: Database, operation: string, to: State, more: Partial<Tables['revisions']>): Promise<void> {
  const revision = await revisionBy(index, operation);
  await index.updateTable('revisions').set({ ...more, state: advance(revision.state as State, to) }).where('operation', '=', operation).execute();
}

async function revisionBy(index: Database, operation: string): Promise<Tables['revisions']> {
  const revision = await index.selectFrom('revisions').selectAll().where('operation', '=', operation).executeTakeFirst();
  if (revision === undefined) throw new CairnError('storage', `the log speaks of the operation ${operation}, which it never opened`, { fix: 'Restore the ledger from a backup' });
  return revision;
}
