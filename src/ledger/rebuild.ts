import { createPublicKey } from 'node:crypto';
import { sql } from 'kysely';
import { envelopeDigest, pae, parseEnvelope, parsePredicate, parseStatement, payloadOf, predicateTypes, verifyEnvelope } from '#attest';
import { CairnError } from '#core';
import { entryBody, keyMark } from '#log';
import { noteTime } from './note-time.ts';
import { fold, placer } from './fold.ts';
import { indexTables, type Database } from './schema.ts';
import type { Connection } from './sqlite.ts';

/** base64 SPKI of the keys by which the server itself speaks. */
export interface OwnKeys {
  readonly record: string;
  readonly admit: readonly string[];
}

/**
 * Empties the index and folds the log again, in log order. What counts is decided anew: only what an ingest of the record key
 * names, with the envelope that its leaf was made of. A named envelope that is missing or altered stops it, and so does a leaf of one
 * of our own keys without its envelope: whoever takes an ingest away would make all that it counted vanish.
 * @returns how many statements count. @throws CairnError `storage`
 */
export async function rebuild(transaction: Database, connection: Connection, own: OwnKeys): Promise<number> {
  for (const table of indexTables) await transaction.deleteFrom(table).execute();
  await requireOwnEnvelopes(transaction, own);
  const place = placer(connection);
  const record = createPublicKey({ key: Buffer.from(own.record, 'base64'), format: 'der', type: 'spki' });
  let [counted, ingests] = [0, 0];
  const checkpoints = await transaction.selectFrom('checkpoints').select(['size', 'note']).orderBy('size').execute();
  for (const { size, note } of checkpoints) {
    // Where strangers alone logged, nothing counts. Their last entry may have come to count later: by another ingest then.
    const ingest = await envelopeAt(transaction, size - 1);
    if (ingest?.key !== own.record) continue;
    if (ingest.statement.predicateType !== predicateTypes.ingest || !verifyEnvelope(ingest.envelope, record)) throw damaged(size - 1, 'is no ingest of the record key');
    ingests++;
    const time = noteTime(note);
    const { entries } = parsePredicate('ingest', ingest.statement);
    for (const { logIndex, envelope: digest } of entries) {
      const entry = logIndex < size ? await envelopeAt(transaction, logIndex) : undefined;
      if (entry === undefined) throw damaged(logIndex, 'has no envelope');
      if (entry.digest !== digest) throw damaged(logIndex, `is not the envelope that the ingest at ${size - 1} names`);
      const placed = { logIndex, digest, time, key: entry.key, statement: entry.statement };
      place(placed);
      await fold(transaction, placed);
      counted++;
    }
  }
  const { stored } = await transaction.selectFrom('envelopes').select((all) => all.fn.countAll<number>().as('stored')).executeTakeFirstOrThrow();
  if (stored !== counted + ingests) throw new CairnError('storage', `the ledger has ${stored - counted - ingests} envelopes that no ingest names`, { fix: 'cairn audit; then restore the ledger from a backup' });
  return counted;
}

async function requireOwnEnvelopes(transaction: Database, { record, admit }: OwnKeys): Promise<void> {
  for (const key of [record, ...admit]) {
    const missing = await transaction.selectFrom('leaves').leftJoin('envelopes', 'envelopes.idx', 'leaves.idx').select('leaves.idx as idx').where('envelopes.idx', 'is', null)
      .where(sql`instr(leaves.body, ${Buffer.from(keyMark(key))})`, '>', 0).orderBy('leaves.idx').limit(1).executeTakeFirst();
    if (missing !== undefined) throw damaged(missing.idx, 'has no envelope, though it is of a key of the server itself');
  }
}

async function envelopeAt(transaction: Database, idx: number) {
  const row = await transaction.selectFrom('envelopes').innerJoin('leaves', 'leaves.idx', 'envelopes.idx').select(['envelopes.body as text', 'key', 'leaves.body as leaf']).where('envelopes.idx', '=', idx).executeTakeFirst();
  if (row === undefined) return undefined;
  const envelope = parseEnvelope(JSON.parse(row.text));
  const leaf = entryBody(pae(envelope.payloadType, payloadOf(envelope)), envelope.signatures[0].sig, Buffer.from(row.key, 'base64'));
  if (!leaf.equals(row.leaf)) throw damaged(idx, 'was made of another envelope');
  return { envelope, digest: envelopeDigest(envelope), key: row.key, statement: parseStatement(payloadOf(envelope)) };
}

function damaged(idx: number, why: string): CairnError {
  return new CairnError('storage', `log entry ${idx} ${why}`, { fix: 'Restore the ledger from a backup' });
}

/** The whole index as text, sorted: two indexes are the same if their dumps are equal byte for byte. */
export async function dumpIndex(database: Database): Promise<string> {
  const lines: string[] = [];
  for (const table of indexTables) {
    const rows = await database.selectFrom(table).selectAll().execute();
    lines.push(...rows.map((row) => `${table} ${JSON.stringify(row)}`));
  }
  return `${lines.toSorted().join('\n')}\n`;
}
