import { createPublicKey } from 'node:crypto';
import { envelopeDigest, pae, parseEnvelope, parsePredicate, parseStatement, payloadOf, verifyEnvelope } from '#attest';
import { CairnError } from '#core';
import { entryBody } from '#log';
import { noteTime } from './append.ts';
import { fold } from './fold.ts';
import { indexTables, type Database } from './schema.ts';

/**
 * Empties the index and folds the log again, in log order. What counts is decided anew: only what an ingest of the record key
 * names, with the envelope that its leaf was made of; a named envelope that is missing or altered stops it.
 * @returns how many statements count. @throws CairnError `storage`
 */
export async function rebuild(transaction: Database, recordKey: string): Promise<number> {
  for (const table of indexTables) await transaction.deleteFrom(table).execute();
  const record = createPublicKey({ key: Buffer.from(recordKey, 'base64'), format: 'der', type: 'spki' });
  let counted = 0;
  const checkpoints = await transaction.selectFrom('checkpoints').select(['size', 'note']).orderBy('size').execute();
  for (const { size, note } of checkpoints) {
    const ingest = await envelopeAt(transaction, size - 1);
    if (!verifyEnvelope(ingest.envelope, record) || ingest.key !== recordKey) throw damaged(size - 1, 'is no ingest of the record key');
    const { entries } = parsePredicate('ingest', ingest.statement);
    for (const { logIndex, envelope: digest } of entries) {
      const entry = await envelopeAt(transaction, logIndex);
      if (entry.digest !== digest) throw damaged(logIndex, `is not the envelope that the ingest at ${size - 1} names`);
      await fold(transaction, { logIndex, digest, time: noteTime(note), key: entry.key, statement: entry.statement });
      counted++;
    }
  }
  return counted;
}

async function envelopeAt(transaction: Database, idx: number) {
  const row = await transaction.selectFrom('envelopes').innerJoin('leaves', 'leaves.idx', 'envelopes.idx').select(['envelopes.body as text', 'key', 'leaves.body as leaf']).where('envelopes.idx', '=', idx).executeTakeFirst();
  if (row === undefined) throw damaged(idx, 'has no envelope');
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

