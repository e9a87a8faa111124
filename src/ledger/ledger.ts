import { Kysely } from 'kysely';
import { envelopeDigest, makeBundle, parseEnvelope, parsePredicate, parseStatement, payloadOf, predicateTypes, type LogEntry } from '#attest';
import { CairnError, isDigest, Mutex, type Digest, type Faults } from '#core';
import { consistencyProof, inclusionProof, logIdOf, rootAt } from '#log';
import { parsePolicy, type Policy } from '#policy';
import type { Ledger, Logged, Revision, SignedStatement, State, Timeline } from '#release';
import { keyHint, spkiOf } from '#sign';
import { createPublicKey } from 'node:crypto';
import { append, noteTime, tileReader, treeSize, type Appender } from './append.ts';
import { dumpIndex, rebuild } from './rebuild.ts';
import { createTables, type Database, type Tables } from './schema.ts';
import { sqliteDialect } from './sqlite.ts';

export interface LedgerOptions extends Appender {
  /** Path of the SQLite file. */
  readonly path: string;
  readonly faults: Faults;
}

export interface OpenLedger extends Ledger {
  /** The newest checkpoint; undefined while the log is empty. */
  checkpoint(): Promise<{ size: number; note: string } | undefined>;
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

export async function openLedger(options: LedgerOptions): Promise<OpenLedger> {
  const database: Database = new Kysely<Tables>({ dialect: sqliteDialect(options.path, options.faults) });
  if (await createTables(database)) {
    const record = spkiOf(options.record.publicKey).toString('base64');
    await database.transaction().execute((transaction) => rebuild(transaction, record));
  }
  const writer = new Mutex();
  const logId = logIdOf(options.keys.origin, options.keys.log.publicKey).toString('base64');

  async function commit(statements: readonly SignedStatement[], expect?: { application: string; environment: string; head: number }): Promise<readonly Logged[]> {
    const digests = statements.map((one) => envelopeDigest(one.envelope));
    await writer.run(() =>
      database.transaction().execute(async (transaction) => {
        const stored = await transaction.selectFrom('envelopes').select('digest').where('digest', 'in', digests).execute();
        const known = new Set(stored.map(({ digest }) => digest));
        const fresh = statements.filter((_, at) => !known.has(digests[at] ?? ''));
        if (fresh.length === 0) return;
        if (expect !== undefined) await requireHead(transaction, expect);
        await append(transaction, fresh, options);
      }),
    );
    return Promise.all(digests.map((digest) => logged(digest)));
  }

  async function logged(digest: string): Promise<Logged> {
    const row = await database.selectFrom('envelopes').selectAll().where('digest', '=', digest).executeTakeFirst();
    if (row === undefined || !isDigest(digest)) throw new CairnError('storage', `the ledger lacks the envelope ${digest}, which the log names`, { fix: 'Restore the ledger from a backup' });
    const envelope = parseEnvelope(JSON.parse(row.body));
    const hint = keyHint(createPublicKey({ key: Buffer.from(row.key, 'base64'), format: 'der', type: 'spki' }));
    const { entry, time } = await logEntry(row.idx);
    return Object.freeze({ envelope, key: row.key, digest, logIndex: row.idx, time, statement: parseStatement(payloadOf(envelope)), bundle: makeBundle(envelope, hint, entry) });
  }

  /** Proven against the first checkpoint that covers it, so that a bundle's bytes are the same whenever it is made. */
  async function logEntry(index: number): Promise<{ entry: LogEntry; time: number }> {
    const leaf = await database.selectFrom('leaves').select('body').where('idx', '=', index).executeTakeFirstOrThrow();
    const { size, note } = await database.selectFrom('checkpoints').selectAll().where('size', '>', index).orderBy('size').limit(1).executeTakeFirstOrThrow();
    const tiles = tileReader(database);
    const hashes = await inclusionProof(tiles, index, size);
    const root = await rootAt(tiles, size);
    const entry: LogEntry = {
      logIndex: String(index),
      logId: { keyId: logId },
      kindVersion: { kind: 'hashedrekord', version: '0.0.2' },
      integratedTime: '0',
      inclusionProof: { logIndex: String(index), rootHash: root.toString('base64'), treeSize: String(size), hashes: hashes.map((hash) => hash.toString('base64')), checkpoint: { envelope: note } },
      canonicalizedBody: Buffer.from(leaf.body).toString('base64'),
    };
    return { entry, time: noteTime(note) };
  }

  async function timeline(application: string, environment: string): Promise<Timeline> {
    const rows = await database.selectFrom('revisions').selectAll().where('application', '=', application).where('environment', '=', environment).orderBy('number').execute();
    const quarantines = await database.selectFrom('quarantines').select('digest').where('application', '=', application).where('environment', '=', environment).execute();
    const revocations = await database.selectFrom('revocations').select('release').where('application', '=', application).execute();
    const revisions = rows.map(revisionFrom);
    const live = revisions.find((one) => one.state === 'live' || one.state === 'confirmed');
    return { application, environment, head: revisions.at(-1)?.number ?? 0, live, revisions, quarantined: quarantines.map(({ digest }) => digest).filter(isDigest), revoked: revocations.map(({ release }) => release).filter(isDigest) };
  }

  return {
    commit,
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
    incidents: async () => {
      const rows = await database.selectFrom('incidents').selectAll().orderBy('idx').execute();
      return rows.map(({ idx, release, ...row }) => ({ ...row, logIndex: idx, release: release as Digest }));
    },
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
    policy: async (): Promise<Policy> => {
      const row = await database.selectFrom('policies').select('body').orderBy('idx', 'desc').limit(1).executeTakeFirst();
      if (row === undefined) throw new CairnError('not-initialized', 'the ledger holds no policy', { fix: 'cairn init' });
      return parsePolicy(Buffer.from(row.body));
    },
    findRelease: async (application, prefix) => {
      const rows = await database.selectFrom('subjects').innerJoin('statements', 'statements.idx', 'subjects.idx').innerJoin('envelopes', 'envelopes.digest', 'statements.digest')
        .select(['subjects.digest as digest', 'envelopes.body as body']).where('subjects.predicate_type', '=', predicateTypes.provenance)
        .where('subjects.digest', '>=', `sha256:${prefix}`).where('subjects.digest', '<', `sha256:${prefix}g`).limit(64).execute();
      const releases = rows.filter((row) => parseStatement(payloadOf(parseEnvelope(JSON.parse(row.body)))).subject.some((one) => one.name === application && `sha256:${one.digest.sha256}` === row.digest));
      return [...new Set(releases.map(({ digest }) => digest))].filter(isDigest).slice(0, 2);
    },
    checkpoint: () => database.selectFrom('checkpoints').selectAll().orderBy('size', 'desc').limit(1).executeTakeFirst(),
    consistency: async (from, to) => {
      if (to > (await treeSize(database))) throw new CairnError('not-found', `the log has no ${to} entries yet`);
      return (await consistencyProof(tileReader(database), from, to)).map((hash) => hash.toString('base64'));
    },
    tile: (level, index) => tileReader(database).tile(level, index),
    bodies: async (from, to) => (await database.selectFrom('leaves').select('body').where('idx', '>=', from).where('idx', '<', to).orderBy('idx').execute()).map(({ body }) => body),
    rebuild: () =>
      writer.run(() =>
        database.transaction().execute(async (transaction) => {
          const before = await dumpIndex(transaction);
          const counted = await rebuild(transaction, spkiOf(options.record.publicKey).toString('base64'));
          return { counted, same: before === (await dumpIndex(transaction)) };
        }),
      ),
    dumpIndex: () => dumpIndex(database),
    close: () => database.destroy(),
  };
}

async function requireHead(transaction: Database, expect: { application: string; environment: string; head: number }): Promise<void> {
  const row = await transaction.selectFrom('revisions').select((all) => all.fn.max('number').as('number')).where('application', '=', expect.application).where('environment', '=', expect.environment).executeTakeFirst();
  const head = row?.number ?? 0;
  if (head !== expect.head) throw new CairnError('conflict', `${expect.environment} has moved from revision ${expect.head} to ${head}; nothing was switched`, { fix: 'cairn status, then decide again' });
}

function revisionFrom(row: Tables['revisions']): Revision {
  return Object.freeze({
    application: row.application, environment: row.environment, number: row.number, state: row.state as State, operation: row.operation,
    release: row.release as Digest, content: row.content as Digest, configuration: JSON.parse(row.configuration) as Record<string, string>,
    secrets: JSON.parse(row.secrets) as Record<string, number>, confirmed: row.confirmed === 1, restores: row.restores, by: row.by_whom,
    reason: row.reason, verdict: row.verdict as Digest | null, share: row.share,
  });
}

