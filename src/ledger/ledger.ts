import type { KeyObject } from 'node:crypto';
import { Kysely } from 'kysely';
import { parseEnvelope, parsePredicate, parseStatement, payloadOf, predicateTypes, type LogEntry } from '#attest';
import { CairnError, isDigest, Mutex, type Digest, type Faults } from '#core';
import type { RekorEntry } from '#log';
import { parsePolicy, type Policy } from '#policy';
import type { Ledger, Logged, Revision, SignedStatement, State, Timeline } from '#release';
import { spkiOf, type Signer } from '#sign';
import { incoming, type Appender } from './append.ts';
import { placer } from './fold.ts';
import { policyReads, type PolicyReads } from './fold-policy.ts';
import { governance } from './governance.ts';
import { GroupCommit } from './group.ts';
import { LogIds } from './log-ids.ts';
import { noteTime } from './note-time.ts';
import { Proofs } from './proofs.ts';
import { dumpIndex, rebuild } from './rebuild.ts';
import { createTables, type Database, type Tables } from './schema.ts';
import { openSqlite } from './sqlite.ts';
import { Truth } from './truth.ts';

export interface LedgerOptions extends Appender {
  /** Path of the SQLite file. */
  readonly path: string;
  readonly faults: Faults;
  /** base64 SPKI of the keys that sign passed verdicts: nobody else logs in their name, and none of their envelopes may be missing. */
  readonly admit?: readonly string[];
}

export interface OpenLedger extends Ledger, PolicyReads {
  /** The newest checkpoint; undefined while the log is empty. */
  checkpoint(): Promise<Published | undefined>;
  /** Called after each checkpoint, when it is on the disk. Must not throw and must not take long: the next transaction waits. @returns what ends it */
  onCheckpoint(listener: (checkpoint: Published) => void): () => void;
  /** Logs an entry of somebody else: a leaf, which counts for nothing. The same one again answers the first. @throws CairnError `refused` */
  log(entry: RekorEntry): Promise<{ readonly entry: LogEntry; readonly fresh: boolean }>;
  /**
   * Logs the statements of a change of the log's key in a transaction of their own, whose checkpoint is the first that the next key signs: the one before it has signed `size` entries and no more.
   * @throws CairnError `conflict` where the log has another size by now (`context.size`)
   */
  rotate(statements: readonly SignedStatement[], size: number, next: Signer): Promise<readonly Logged[]>;
  /** At the start: the key that the newest checkpoint is signed with. */
  useLogKey(key: Signer): void;
  /** The key that signs checkpoints now. */
  logKey(): KeyObject;
  /** Statements that count, of one predicate type, in log order. */
  ofType(predicateType: string): Promise<readonly Logged[]>;
  /** How many entries of others the log took within the last day. */
  strangersOfToday(): Promise<number>;
  /** How many of those wait to be written. */
  waiting(): number;
  /** Entry `index` with its proof, against the first checkpoint that covers it. @throws CairnError `not-found` */
  entry(index: number): Promise<LogEntry>;
  /** Log index of the statement whose envelope has this digest. */
  find(digest: Digest): Promise<number | undefined>;
  /** Proof of entry `index` against the tree of `size` entries: base64 hashes. */
  inclusion(index: number, size: number): Promise<readonly string[]>;
  consistency(from: number, to: number): Promise<readonly string[]>;
  tile(level: number, index: number): Promise<Uint8Array | undefined>;
  bodies(from: number, to: number): Promise<Uint8Array[]>;
  /** Statements that count, from a log index on, in log order. */
  since(logIndex: number, limit: number): Promise<readonly Logged[]>;
  /** Releases whose digest begins with `prefix` (hex): at most two, enough to tell an ambiguous one. */
  findRelease(application: string, prefix: string): Promise<readonly Digest[]>;
  /** The newest release of the application, whoever made it. */
  latestRelease(application: string): Promise<{ release: Digest; commit: string } | undefined>;
  /** Folds the log again, with nobody writing meanwhile: how many statements count, and whether the index was as the log says. */
  rebuild(): Promise<{ counted: number; same: boolean }>;
  dumpIndex(): Promise<string>;
  close(): Promise<void>;
}

/** A window on the log: everything about it that may be known to anybody. */
interface Published {
  readonly size: number;
  readonly note: string;
}

export async function openLedger(options: LedgerOptions): Promise<OpenLedger> {
  const connection = openSqlite(options.path, options.faults);
  const database: Database = new Kysely<Tables>({ dialect: connection.dialect });
  const own = { record: spkiOf(options.record.publicKey).toString('base64'), admit: options.admit ?? [] };
  const stale = await createTables(database);
  const truth = new Truth(connection);
  if (truth.lacksSeen()) await database.transaction().execute(async () => truth.fillSeen());
  if (stale) await database.transaction().execute((transaction) => rebuild(transaction, connection, own));
  const writer = new Mutex();
  let { keys } = options;
  const logIds = await LogIds.read(database, keys);
  const proofs = new Proofs(database, truth, (note) => logIds.of(note));
  const listeners = new Set<(checkpoint: Published) => void>();
  const group = new GroupCommit({
    database, connection, truth, appender: () => ({ ...options, keys }), place: placer(connection), own: new Set([own.record, ...own.admit]),
    durable: (checkpoint) => {
      known.clear();
      for (const listener of listeners) listener(checkpoint);
    },
    exclusively: (work) => writer.run(work),
  });
  const logged = (digest: string) => proofs.logged(digest);
  const governed = governance(database);
  /** What every request asks and few transactions change: read again after each of them. */
  const known = new Map<string, Promise<unknown>>();
  const remembered = <T>(name: string, read: () => Promise<T>): Promise<T> => {
    const found = known.get(name) as Promise<T> | undefined;
    if (found !== undefined) return found;
    const fresh = read();
    known.set(name, fresh);
    fresh.catch(() => known.delete(name));
    return fresh;
  };

  async function timeline(application: string, environment: string): Promise<Timeline> {
    const rows = await database.selectFrom('revisions').selectAll().where('application', '=', application).where('environment', '=', environment).orderBy('number').execute();
    const quarantines = await database.selectFrom('quarantines').select('digest').where('application', '=', application).where('environment', '=', environment).execute();
    const revocations = await database.selectFrom('revocations').select('release').where('application', '=', application).execute();
    const revisions = rows.map(revisionFrom);
    const live = revisions.find((one) => one.state === 'live' || one.state === 'confirmed');
    return { application, environment, head: revisions.at(-1)?.number ?? 0, live, revisions, quarantined: quarantines.map(({ digest }) => digest).filter(isDigest), revoked: revocations.map(({ release }) => release).filter(isDigest) };
  }

  return {
    commit: async (statements, expect) => {
      if (statements.length === 0) return [];
      const written = await group.commit(statements.map(incoming), expect);
      return Promise.all(written.map((one) => proofs.loggedNow(one)));
    },
    rotate: async (signed, size, log) => {
      const written = await group.commit(signed.map(incoming), undefined, { size, log });
      keys = { ...keys, log };
      logIds.add(log.publicKey);
      return Promise.all(written.map((one) => proofs.loggedNow(one)));
    },
    useLogKey: (log) => {
      keys = { ...keys, log };
      logIds.add(log.publicKey);
    },
    logKey: () => keys.log.publicKey,
    ofType: async (predicateType) => {
      const rows = await database.selectFrom('statements').select('digest').where('predicate_type', '=', predicateType).orderBy('idx').execute();
      return Promise.all(rows.map(({ digest }) => logged(digest)));
    },
    log: async (wanted) => {
      const placed = await group.log(wanted);
      const { entry } = await proofs.entryOf(placed, wanted.body);
      return { entry, fresh: placed.fresh !== undefined };
    },
    strangersOfToday: () => strangersSince(database, options.clock.now().getTime() / 1000 - 86_400),
    waiting: () => group.waiting,
    entry: async (index) => (await proofs.entryAt(index)).entry,
    find: async (digest) => (await database.selectFrom('envelopes').select('idx').where('digest', '=', digest).executeTakeFirst())?.idx,
    onCheckpoint: (listener) => {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    timeline,
    about: async (subject, predicateType) => {
      const rows = await database.selectFrom('subjects').innerJoin('statements', 'statements.idx', 'subjects.idx').select('statements.digest as envelope').where('subjects.digest', '=', subject).where('subjects.predicate_type', '=', predicateType).orderBy('subjects.idx').execute();
      return Promise.all(rows.map(({ envelope }) => logged(envelope)));
    },
    since: async (logIndex, limit) => {
      const rows = await database.selectFrom('statements').select('digest').where('idx', '>=', logIndex).orderBy('idx').limit(limit).execute();
      return Promise.all(rows.map(({ digest }) => logged(digest)));
    },
    timelines: async () => {
      const places = await database.selectFrom('revisions').select(['application', 'environment']).distinct().orderBy('application').orderBy('environment').execute();
      return Promise.all(places.map((place) => timeline(place.application, place.environment)));
    },
    confirmedIn: async (application, release) => {
      const rows = await database.selectFrom('revisions').select(({ fn }) => ['environment', fn.min('confirmed_at').as('time')]).where('application', '=', application).where('release', '=', release).where('confirmed', '=', 1).groupBy('environment').execute();
      return rows.map(({ environment, time }) => ({ environment, time: Number(time) }));
    },
    ...governed,
    revocations: () => remembered('revocations', governed.revocations),
    ...policyReads(database),
    logged,
    latestRelease: async (application) => {
      const rows = await database.selectFrom('statements').select('digest').where('predicate_type', '=', predicateTypes.provenance).orderBy('idx', 'desc').execute();
      for (const { digest } of rows) {
        const { statement } = await logged(digest);
        const subject = statement.subject.find((one) => one.name === application);
        if (subject !== undefined) return { release: `sha256:${subject.digest.sha256}`, commit: parsePredicate('provenance', statement).buildDefinition.externalParameters.source.digest.gitCommit };
      }
      return undefined;
    },
    revisionOf: async (operation) => {
      const row = await database.selectFrom('revisions').selectAll().where('operation', '=', operation).executeTakeFirst();
      return row === undefined ? undefined : revisionFrom(row);
    },
    verdictOf: async (operation) => {
      const row = await database.selectFrom('revisions').select('verdict').where('operation', '=', operation).executeTakeFirst();
      return row?.verdict === null || row?.verdict === undefined ? undefined : logged(row.verdict);
    },
    journalCursor: async (application, environment) => {
      const row = await database.selectFrom('revisions').select((all) => all.fn.max('journal').as('journal')).where('application', '=', application).where('environment', '=', environment).executeTakeFirst();
      return row?.journal ?? 0;
    },
    policy: () => remembered('policy', async (): Promise<Policy> => {
      const row = await database.selectFrom('policies').select('body').orderBy('idx', 'desc').limit(1).executeTakeFirst();
      if (row === undefined) throw new CairnError('not-initialized', 'the ledger holds no policy', { fix: 'cairn init' });
      return parsePolicy(Buffer.from(row.body));
    }),
    findRelease: async (application, prefix) => {
      const rows = await database.selectFrom('subjects').innerJoin('statements', 'statements.idx', 'subjects.idx').innerJoin('envelopes', 'envelopes.digest', 'statements.digest')
        .select(['subjects.digest as digest', 'envelopes.body as body']).where('subjects.predicate_type', '=', predicateTypes.provenance)
        .where('subjects.digest', '>=', `sha256:${prefix}`).where('subjects.digest', '<', `sha256:${prefix}g`).limit(64).execute();
      const releases = rows.filter((row) => parseStatement(payloadOf(parseEnvelope(JSON.parse(row.body)))).subject.some((one) => one.name === application && `sha256:${one.digest.sha256}` === row.digest));
      return [...new Set(releases.map(({ digest }) => digest))].filter(isDigest).slice(0, 2);
    },
    checkpoint: () => database.selectFrom('checkpoints').selectAll().orderBy('size', 'desc').limit(1).executeTakeFirst(),
    consistency: async (from, to) => {
      const newest = await database.selectFrom('checkpoints').select('size').orderBy('size', 'desc').limit(1).executeTakeFirst();
      if (to > (newest?.size ?? 0)) throw new CairnError('not-found', `the log has no ${to} entries yet`);
      return (await truth.tree.consistency(from, to)).map((hash) => hash.toString('base64'));
    },
    inclusion: async (index, size) => (await truth.tree.at(size).inclusion(index)).map((hash) => hash.toString('base64')),
    tile: async (level, index) => (await database.selectFrom('tiles').select('hashes').where('level', '=', level).where('idx', '=', index).executeTakeFirst())?.hashes,
    bodies: async (from, to) => (await database.selectFrom('leaves').select('body').where('idx', '>=', from).where('idx', '<', to).orderBy('idx').execute()).map(({ body }) => body),
    rebuild: () =>
      writer.run(() =>
        database.transaction().execute(async (transaction) => {
          const before = await dumpIndex(transaction);
          const counted = await rebuild(transaction, connection, own);
          known.clear();
          return { counted, same: before === (await dumpIndex(transaction)) };
        }),
      ),
    dumpIndex: () => dumpIndex(database),
    close: () => database.destroy(),
  };
}

/** How many leaves without an envelope were logged after `time`, in seconds. */
async function strangersSince(database: Database, time: number): Promise<number> {
  let [low, high] = [0, (await database.selectFrom('checkpoints').select('size').orderBy('size', 'desc').limit(1).executeTakeFirst())?.size ?? 0];
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    const { size, note } = await database.selectFrom('checkpoints').selectAll().where('size', '>', middle).orderBy('size').limit(1).executeTakeFirstOrThrow();
    if (noteTime(note) < time) low = size;
    else high = middle;
  }
  const { count } = await database.selectFrom('leaves').leftJoin('envelopes', 'envelopes.idx', 'leaves.idx').select((all) => all.fn.countAll<number>().as('count')).where('leaves.idx', '>=', low).where('envelopes.idx', 'is', null).executeTakeFirstOrThrow();
  return count;
}

function revisionFrom(row: Tables['revisions']): Revision {
  return Object.freeze({
    application: row.application, environment: row.environment, number: row.number, state: row.state as State, operation: row.operation,
    release: row.release as Digest, content: row.content as Digest, configuration: JSON.parse(row.configuration) as Record<string, string>,
    secrets: JSON.parse(row.secrets) as Record<string, number>, confirmed: row.confirmed === 1, restores: row.restores, by: row.by_whom,
    reason: row.reason, verdict: row.verdict as Digest | null, share: row.share,
  });
}

