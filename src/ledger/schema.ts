import { sql, type Kysely } from 'kysely';

/** The truth: append only, never edited. */
interface TruthTables {
  leaves: { idx: number; body: Uint8Array };
  tiles: { level: number; idx: number; hashes: Uint8Array };
  /** One row for each tree size that was ever published. */
  checkpoints: { size: number; note: string };
  /** Every envelope that counts, and every ingest. */
  envelopes: { digest: string; idx: number; key: string; body: string };
}

/** The index: a fold over the truth. `ledger rebuild` empties it and folds again to the same rows. */
interface IndexTables {
  statements: { idx: number; digest: string; predicate_type: string; time: number };
  subjects: { digest: string; predicate_type: string; idx: number };
  policies: { idx: number; digest: string; body: string };
  revisions: {
    application: string; environment: string; number: number; state: string; operation: string; release: string; content: string;
    configuration: string; secrets: string; confirmed: number; restores: number | null; by_whom: string; reason: string | null;
    verdict: string | null; journal: number | null;
  };
  quarantines: { application: string; environment: string; digest: string };
}

export type Tables = TruthTables & IndexTables;
export type Database = Kysely<Tables>;

export const indexTables = ['statements', 'subjects', 'policies', 'revisions', 'quarantines'] as const satisfies (keyof IndexTables)[];

export async function createTables(database: Database): Promise<void> {
  const statements = [
    sql`create table if not exists leaves (idx integer primary key, body blob not null) strict`,
    sql`create table if not exists tiles (level integer not null, idx integer not null, hashes blob not null, primary key (level, idx)) strict, without rowid`,
    sql`create table if not exists checkpoints (size integer primary key, note text not null) strict`,
    sql`create table if not exists envelopes (digest text primary key, idx integer not null unique, key text not null, body text not null) strict`,
    sql`create table if not exists statements (idx integer primary key, digest text not null unique, predicate_type text not null, time integer not null) strict`,
    sql`create table if not exists subjects (digest text not null, predicate_type text not null, idx integer not null, primary key (digest, predicate_type, idx)) strict, without rowid`,
    sql`create table if not exists policies (idx integer primary key, digest text not null, body text not null) strict`,
    sql`create table if not exists revisions (
      application text not null, environment text not null, number integer not null, state text not null, operation text not null unique,
      release text not null, content text not null, configuration text not null, secrets text not null, confirmed integer not null,
      restores integer, by_whom text not null, reason text, verdict text, journal integer, primary key (application, environment, number)) strict`,
    sql`create index if not exists revisions_by_state on revisions (application, environment, state, number)`,
    sql`create table if not exists quarantines (application text not null, environment text not null, digest text not null, primary key (application, environment, digest)) strict, without rowid`,
  ];
  for (const statement of statements) await statement.execute(database);
}
