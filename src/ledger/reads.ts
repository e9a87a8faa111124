import { backup, DatabaseSync, type SQLInputValue } from 'node:sqlite';
import { Kysely, sql, SqliteDialect } from 'kysely';
import { parseEnvelope, payloadOf, predicateTypes, type Envelope } from '#attest';
import { CairnError, exists, isDigest, noFaults, type Digest } from '#core';
import { dumpIndex, rebuild, type OwnKeys } from './rebuild.ts';
import { named } from './trouble.ts';
import { createTables, type Database, type Tables } from './schema.ts';
import { openSqlite } from './sqlite.ts';

/** A row of the truth, as it stands: nothing of it is believed yet. */
export interface StoredEnvelope {
  readonly logIndex: number;
  readonly digest: string;
  /** base64 SPKI. */
  readonly key: string;
  readonly body: string;
  readonly leaf: Uint8Array;
}

export interface StoredRelease {
  readonly application: string;
  readonly release: Digest;
  readonly commit: string;
  readonly logIndex: number;
}

export interface StoredRevision {
  readonly application: string;
  readonly environment: string;
  readonly number: number;
  readonly state: string;
  readonly release: Digest;
  readonly content: Digest;
}

/**
 * The ledger as it rests on the disk, for those who check it or look around in it: read only, beside a server that writes, every
 * call a snapshot of its own. @throws CairnError `storage` wherever the file is damaged
 */
export interface LedgerReader {
  leaves(from: number, limit: number): Promise<{ idx: number; body: Uint8Array }[]>;
  /** Every checkpoint that was ever published, oldest first. */
  checkpoints(): Promise<{ size: number; note: string }[]>;
  tiles(): Promise<{ level: number; idx: number; hashes: Uint8Array }[]>;
  envelopes(from: number, limit: number): Promise<StoredEnvelope[]>;
  /** Of the index: each revision, by place and number. */
  revisions(): Promise<StoredRevision[]>;
  /** Newest first. */
  releases(limit: number, application?: string): Promise<StoredRelease[]>;
  /** Folds the log again beside the index, without writing: whether the index is what the log says. */
  refold(recordKey: string, admitKeys?: readonly string[]): Promise<{ counted: number; same: boolean }>;
  close(): Promise<void>;
}

export async function openReader(path: string): Promise<LedgerReader> {
  if (!(await exists(path))) throw new CairnError('not-initialized', `there is no ledger at ${path}`, { fix: 'cairn init' });
  const database: Database = named(() => new Kysely<Tables>({ dialect: new SqliteDialect({ database: readOnly(path) }) }));
  const read = <T>(query: () => Promise<T>): Promise<T> => query().catch((error: unknown) => named(() => { throw error; }));
  return {
    leaves: (from, limit) => read(() => database.selectFrom('leaves').selectAll().where('idx', '>=', from).orderBy('idx').limit(limit).execute()),
    checkpoints: () => read(() => database.selectFrom('checkpoints').selectAll().orderBy('size').execute()),
    tiles: () => read(() => database.selectFrom('tiles').selectAll().orderBy('level').orderBy('idx').execute()),
    envelopes: (from, limit) =>
      read(() => database.selectFrom('envelopes').leftJoin('leaves', 'leaves.idx', 'envelopes.idx')
        .select(['envelopes.idx as logIndex', 'digest', 'key', 'envelopes.body as body', 'leaves.body as leaf']).where('envelopes.idx', '>=', from).orderBy('envelopes.idx').limit(limit).execute())
        .then((rows) => rows.map((row) => ({ ...row, leaf: row.leaf ?? new Uint8Array() }))),
    revisions: () =>
      read(() => database.selectFrom('revisions').select(['application', 'environment', 'number', 'state', 'release', 'content']).orderBy('application').orderBy('environment').orderBy('number').execute())
        .then((rows) => rows.map((row) => ({ ...row, release: row.release as Digest, content: row.content as Digest }))),
    releases: (limit, application) => read(() => releases(database, limit, application)),
    refold: (record, admit = []) => read(() => refold(path, { record, admit })),
    close: () => database.destroy(),
  };
}

/**
 * Copies the ledger as it is at one instant, whoever writes meanwhile, into a file that needs no other beside it, and looks through
 * the copy's pages. @throws CairnError `storage` where the ledger is damaged
 */
export async function copyLedger(path: string, destination: string): Promise<void> {
  const source = named(() => new DatabaseSync(path, { readOnly: true }));
  try {
    // All pages in one step: a writer in between would have the copy begin again.
    await backup(source, destination, { rate: 1 << 30 }).catch((error: unknown) => named(() => { throw error; }));
  } finally {
    source.close();
  }
  const copy = named(() => new DatabaseSync(destination));
  try {
    const [found] = named(() => {
      copy.exec('PRAGMA journal_mode=DELETE');
      return copy.prepare('PRAGMA quick_check(1)').all();
    });
    if (found?.['quick_check'] !== 'ok') throw new CairnError('storage', `the ledger is damaged: ${String(found?.['quick_check'])}`, { fix: 'cairn audit; then restore an older backup' });
  } finally {
    copy.close();
  }
}

/** Provenance's first subject is the release: components may bear the application's name too. */
async function releases(database: Database, limit: number, application?: string): Promise<StoredRelease[]> {
  const found = new Map<string, StoredRelease>();
  // Page by page: provenance names every dependency, and most are asked for a few of thousands.
  for (let before = Number.MAX_SAFE_INTEGER; found.size < limit; ) {
    const rows = await database.selectFrom('statements').innerJoin('envelopes', 'envelopes.digest', 'statements.digest').select(['statements.idx as idx', 'body'])
      .where('predicate_type', '=', predicateTypes.provenance).where('statements.idx', '<', before).orderBy('statements.idx', 'desc').limit(50).execute();
    for (const { idx, body } of rows) {
      before = idx;
      const { subject, predicate } = contentOf(parseEnvelope(JSON.parse(body)));
      const [first] = subject;
      const digest = `sha256:${first?.digest.sha256}`;
      if (first === undefined || !isDigest(digest) || found.has(digest) || (application !== undefined && first.name !== application) || found.size >= limit) continue;
      found.set(digest, { application: first.name, release: digest, commit: predicate.buildDefinition?.externalParameters?.source?.digest?.gitCommit ?? '', logIndex: idx });
    }
    if (rows.length < 50) break;
  }
  return [...found.values()];
}

interface Built {
  readonly subject: readonly { readonly name: string; readonly digest: { readonly sha256: string } }[];
  readonly predicate: { readonly buildDefinition?: { readonly externalParameters?: { readonly source?: { readonly digest?: { readonly gitCommit?: string } } } } };
}

/** Only a list of what there is: whoever acts on an entry verifies it. */
function contentOf(envelope: Envelope): Built {
  return JSON.parse(payloadOf(envelope).toString('utf8')) as Built;
}

/** Folds a copy of the truth in memory. One transaction reads truth and index, so that a server that writes meanwhile does no harm. */
async function refold(path: string, own: OwnKeys): Promise<{ counted: number; same: boolean }> {
  const connection = openSqlite(':memory:', noFaults);
  const copy: Database = new Kysely<Tables>({ dialect: connection.dialect });
  try {
    await createTables(copy);
    await sql`attach ${`file:${encodeURI(path).replaceAll('?', '%3F').replaceAll('#', '%23')}?mode=ro`} as stored`.execute(copy);
    return await copy.transaction().execute(async (transaction) => {
      for (const table of ['leaves', 'envelopes', 'checkpoints'] as const) await sql`insert into main.${sql.table(table)} select * from stored.${sql.table(table)}`.execute(transaction);
      const counted = await rebuild(transaction, connection, own);
      return { counted, same: (await dumpIndex(transaction.withSchema('stored'))) === (await dumpIndex(transaction)) };
    });
  } finally {
    await copy.destroy();
  }
}

function readOnly(path: string) {
  const database = new DatabaseSync(path, { readOnly: true });
  database.exec('PRAGMA busy_timeout=5000; PRAGMA query_only=ON;');
  return {
    close: () => database.close(),
    prepare: (sql: string) => {
      const statement = database.prepare(sql);
      const values = (parameters: readonly unknown[]) => parameters as SQLInputValue[];
      return {
        reader: statement.columns().length > 0,
        all: (parameters: readonly unknown[]) => statement.all(...values(parameters)),
        run: (parameters: readonly unknown[]) => statement.run(...values(parameters)),
        iterate: (parameters: readonly unknown[]) => statement.iterate(...values(parameters)),
      };
    },
  };
}
