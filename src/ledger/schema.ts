import { sql, type Kysely } from 'kysely';

/** The truth: append only, never edited. */
interface TruthTables {
  leaves: { idx: number; body: Uint8Array };
  tiles: { level: number; idx: number; hashes: Uint8Array };
  /** One row for each tree size that was ever published. */
  checkpoints: { size: number; note: string };
  /** Every envelope that counts, and every ingest. */
  envelopes: { digest: string; idx: number; key: string; body: string };
  /** Where a leaf is, by the first 48 bits of its hash. Filled from the leaves where it is empty. */
  seen: { hash: number; idx: number };
}

/** The index: a fold over the truth. `ledger rebuild` empties it and folds again to the same rows. */
interface IndexTables {
  statements: { idx: number; digest: string; predicate_type: string; time: number };
  subjects: { digest: string; predicate_type: string; idx: number };
  /** Versions that were ever in force, by the entry that made them so. */
  policies: { idx: number; digest: string; body: string };
  /** Next versions that were signed under the one before them, and each signature. */
  proposals: { digest: string; idx: number; body: string };
  policy_signatures: { idx: number; policy: string; envelope: string; key: string; time: number };
  revisions: {
    application: string; environment: string; number: number; state: string; operation: string; release: string; content: string;
    configuration: string; secrets: string; confirmed: number; restores: number | null; by_whom: string; reason: string | null;
    verdict: string | null; journal: number | null; share: number; confirmed_at: number | null;
  };
  quarantines: { application: string; environment: string; digest: string };
  revocations: { application: string; release: string; idx: number; by_whom: string; reason: string };
  key_revocations: { idx: number; key: string; after_idx: number | null; by_whom: string; reason: string };
  package_revocations: { idx: number; purl: string; by_whom: string; reason: string };
  /** `used_by`: the operation that passed its gate by it. */
  broken_glass: { envelope: string; idx: number; application: string; environment: string; release: string; by_whom: string; reason: string; expires: number; used_by: string | null };
  debts: {
    envelope: string; idx: number; time: number; application: string; environment: string; release: string; by_whom: string; reason: string; rules: string;
    settled_by: string | null; settled_idx: number | null; settled_reason: string | null;
  };
  incidents: {
    idx: number; time: number; application: string; environment: string; release: string; code: string; what: string;
    owner: string | null; resolution: string | null; resolved_by: string | null; resolved_idx: number | null;
  };
}

export type Tables = TruthTables & IndexTables;
export type Database = Kysely<Tables>;

export const indexTables = ['statements', 'subjects', 'policies', 'proposals', 'policy_signatures', 'revisions', 'quarantines', 'revocations', 'key_revocations', 'package_revocations', 'broken_glass', 'debts', 'incidents'] as const satisfies (keyof IndexTables)[];

/** Of the index's tables: one that was made by another version is dropped, and folded again from the log. */
const indexVersion = 4;

/** @returns whether the index must be folded again before it is used. */
export async function createTables(database: Database): Promise<boolean> {
  const stale = await dropStaleIndex(database);
  const statements = [
    sql`create table if not exists leaves (idx integer primary key, body blob not null) strict`,
    sql`create table if not exists tiles (level integer not null, idx integer not null, hashes blob not null, primary key (level, idx)) strict, without rowid`,
    sql`create table if not exists checkpoints (size integer primary key, note text not null) strict`,
    sql`create table if not exists envelopes (digest text primary key, idx integer not null unique, key text not null, body text not null) strict`,
    sql`create table if not exists seen (hash integer not null, idx integer not null, primary key (hash, idx)) strict, without rowid`,
    sql`create table if not exists statements (idx integer primary key, digest text not null unique, predicate_type text not null, time integer not null) strict`,
    sql`create table if not exists subjects (digest text not null, predicate_type text not null, idx integer not null, primary key (digest, predicate_type, idx)) strict, without rowid`,
    sql`create table if not exists policies (idx integer primary key, digest text not null, body text not null) strict`,
    sql`create table if not exists proposals (digest text primary key, idx integer not null, body text not null) strict, without rowid`,
    sql`create table if not exists policy_signatures (idx integer primary key, policy text not null, envelope text not null, key text not null, time integer not null) strict`,
    sql`create table if not exists revisions (
      application text not null, environment text not null, number integer not null, state text not null, operation text not null unique,
      release text not null, content text not null, configuration text not null, secrets text not null, confirmed integer not null,
      restores integer, by_whom text not null, reason text, verdict text, journal integer, share integer not null, confirmed_at integer, primary key (application, environment, number)) strict`,
    sql`create index if not exists revisions_by_state on revisions (application, environment, state, number)`,
    sql`create table if not exists revocations (application text not null, release text not null, idx integer not null, by_whom text not null, reason text not null, primary key (application, release)) strict, without rowid`,
    sql`create table if not exists incidents (idx integer primary key, time integer not null, application text not null, environment text not null, release text not null, code text not null, what text not null,
      owner text, resolution text, resolved_by text, resolved_idx integer) strict`,
    sql`create table if not exists key_revocations (idx integer primary key, key text not null, after_idx integer, by_whom text not null, reason text not null) strict`,
    sql`create table if not exists package_revocations (idx integer primary key, purl text not null, by_whom text not null, reason text not null) strict`,
    sql`create table if not exists broken_glass (
      envelope text primary key, idx integer not null, application text not null, environment text not null, release text not null, by_whom text not null, reason text not null,
      expires integer not null, used_by text) strict`,
    sql`create table if not exists debts (
      envelope text primary key, idx integer not null, time integer not null, application text not null, environment text not null, release text not null, by_whom text not null,
      reason text not null, rules text not null, settled_by text, settled_idx integer, settled_reason text) strict`,
    sql`create table if not exists quarantines (application text not null, environment text not null, digest text not null, primary key (application, environment, digest)) strict, without rowid`,
  ];
  for (const statement of statements) await statement.execute(database);
  if (stale) await sql`pragma user_version = ${sql.raw(String(indexVersion))}`.execute(database);
  return stale;
}

async function dropStaleIndex(database: Database): Promise<boolean> {
  const { rows } = await sql<{ user_version: number }>`pragma user_version`.execute(database);
  if (rows[0]?.user_version === indexVersion) return false;
  for (const table of indexTables) await sql`drop table if exists ${sql.table(table)}`.execute(database);
  return true;
}
