import { envelopeDigest, makeStatement, pae, parseStatement, payloadOf, predicateTypes, signEnvelope, type Statement } from '#attest';
import { CairnError, type Clock, type Digest } from '#core';
import { appendLeaves, entryBody, formatCheckpoint, leafHash, rootAt, type LogKeys, type TileReader } from '#log';
import type { SignedStatement } from '#release';
import { spkiOf, type Signer } from '#sign';
import { fold } from './fold.ts';
import type { Database } from './schema.ts';

export interface Appender {
  readonly keys: LogKeys;
  readonly record: Signer;
  readonly clock: Clock;
}

/** Reads tiles within a transaction. */
export function tileReader(database: Database): TileReader {
  return {
    tile: async (level, index) => (await database.selectFrom('tiles').select('hashes').where('level', '=', level).where('idx', '=', index).executeTakeFirst())?.hashes,
  };
}

export async function treeSize(database: Database): Promise<number> {
  const row = await database.selectFrom('leaves').select((all) => all.fn.max('idx').as('idx')).executeTakeFirst();
  return row?.idx === null || row?.idx === undefined ? 0 : row.idx + 1;
}

/**
 * Sequences statements behind one ingest, within the caller's transaction: leaves, tiles, envelopes, checkpoint, index.
 * The leaf index is a primary key, so that two writers that fence badly collide instead of forking the log.
 */
export async function append(transaction: Database, statements: readonly SignedStatement[], appender: Appender): Promise<void> {
  const size = await treeSize(transaction);
  const counted = statements.map((one, at) => ({ ...one, digest: envelopeDigest(one.envelope), logIndex: size + at }));
  const ingest = ingestOf(counted, appender);
  const all = [...counted, { ...ingest, digest: envelopeDigest(ingest.envelope), logIndex: size + counted.length }];

  const hashes: Buffer[] = [];
  for (const { envelope, key, digest, logIndex } of all) {
    const body = entryBody(pae(envelope.payloadType, payloadOf(envelope)), envelope.signatures[0].sig, Buffer.from(key, 'base64'));
    hashes.push(leafHash(body));
    await transaction.insertInto('leaves').values({ idx: logIndex, body }).execute();
    await transaction.insertInto('envelopes').values({ digest, idx: logIndex, key, body: JSON.stringify(envelope) }).execute();
  }
  const tiles = tileReader(transaction);
  for (const { level, index, hashes: tile } of await appendLeaves(tiles, size, hashes)) {
    await transaction.insertInto('tiles').values({ level, idx: index, hashes: tile }).onConflict((on) => on.columns(['level', 'idx']).doUpdateSet({ hashes: tile })).execute();
  }

  const after = size + all.length;
  const time = await checkpointTime(transaction, appender.clock);
  const note = formatCheckpoint(appender.keys, after, await rootAt(tiles, after), time);
  await transaction.insertInto('checkpoints').values({ size: after, note }).execute();
  for (const { envelope, key, digest, logIndex } of counted) await fold(transaction, { logIndex, digest, time, key, statement: parseStatement(payloadOf(envelope)) });
}

function ingestOf(counted: readonly { digest: Digest; logIndex: number }[], { record }: Appender): SignedStatement {
  const statement: Statement = {
    predicateType: predicateTypes.ingest,
    subject: counted.map(({ digest, logIndex }) => ({ name: `envelope ${logIndex}`, digest: { sha256: digest.slice(7) } })),
    predicate: { entries: counted.map(({ digest, logIndex }) => ({ logIndex, envelope: digest })) },
  };
  return { envelope: signEnvelope(makeStatement(statement), record), key: spkiOf(record.publicKey).toString('base64') };
}

/** The log's time never goes back, whatever the machine's clock does. */
async function checkpointTime(transaction: Database, clock: Clock): Promise<number> {
  const last = await transaction.selectFrom('checkpoints').select('note').orderBy('size', 'desc').limit(1).executeTakeFirst();
  const now = Math.floor(clock.now().getTime() / 1000);
  return last === undefined ? now : Math.max(now, noteTime(last.note));
}

/** The cosignature's time, of a checkpoint that we wrote and signed ourselves. */
export function noteTime(note: string): number {
  const line = note.trimEnd().split('\n').at(-1)?.split(' ').at(-1);
  const bytes = Buffer.from(line ?? '', 'base64');
  if (bytes.byteLength !== 76) throw new CairnError('storage', 'a stored checkpoint is damaged', { fix: 'Restore the ledger from a backup' });
  return Number(bytes.readBigUInt64BE(4));
}
