import { createPublicKey, type KeyObject } from 'node:crypto';
import { envelopeDigest, pae, parseEnvelope, parsePredicate, parseStatement, payloadOf, predicateTypes, verifyEnvelope, type Statement } from '#attest';
import { CairnError, asCairnError, type Digest } from '#core';
import { entryBody, keyMark, leafHash, MerkleTree, readCheckpoint, type Checkpoint, type LogVerifier, type TileReader } from '#log';
import type { LedgerReader, StoredEnvelope } from '#ledger';

/** Something that is not as it must be, and what mends it. */
export interface Finding {
  readonly what: string;
  readonly fix: string;
  /** The stable word for it, where it has one. */
  readonly reason?: string;
}

export interface AuditedStatement {
  readonly logIndex: number;
  readonly envelope: Digest;
  /** base64 SPKI. */
  readonly key: string;
  /** Seconds since 1970, by the first checkpoint that covers it. */
  readonly time: number;
  readonly statement: Statement;
}

export interface LogAudit {
  /** How many entries there are without a gap. */
  readonly size: number;
  readonly checkpoints: number;
  readonly newest: Checkpoint | undefined;
  /** Root of the tree of the first `size` leaves, computed from the leaves. */
  rootAt(size: number): Promise<Buffer>;
  /** The tree of the leaves. */
  readonly tiles: TileReader;
  /** Statements that count, in log order, whose bytes and signatures hold. */
  readonly statements: readonly AuditedStatement[];
}

const page = 1000;
const restore = 'Stop cairn up and restore the newest backup: cairn restore FILE.tar';

/** The whole log, every leaf hashed again: nothing that is stored about it is believed. Problems are reported and do not end it. */
export async function auditLog(reader: LedgerReader, log: LogVerifier, keys: OwnKeys, report: (finding: Finding) => void): Promise<LogAudit> {
  const notes = await reader.checkpoints();
  const size = notes.at(-1)?.size ?? 0;
  const own: OwnLeaves = { marks: [keys.record, ...Object.values(keys.admit)].map((key) => Buffer.from(keyMark(key))), indexes: [] };
  const tree = await growTree(reader, size, own, report);
  const checkpoints = await auditCheckpoints(notes, tree.whole ? tree : undefined, log, report);
  const statements = await auditEnvelopes(reader, notes.map((one) => one.size), new Map(checkpoints.map((one) => [one.size, one.time])), size, keys.record, own.indexes, report);
  return { size: tree.whole ? size : 0, checkpoints: notes.length, newest: checkpoints.at(-1), rootAt: tree.root, tiles: tree, statements };
}

/** The keys by which the server itself speaks: it alone logs in their name, and keeps every envelope. */
interface OwnKeys {
  readonly record: string;
  readonly admit: Readonly<Record<string, string>>;
}

interface OwnLeaves {
  readonly marks: readonly Buffer[];
  readonly indexes: number[];
}

/** Builds the tree from the leaves, and compares the tiles from which proofs are made with it. */
async function growTree(reader: LedgerReader, size: number, own: OwnLeaves, report: (finding: Finding) => void): Promise<TileReader & { whole: boolean; root(size: number): Promise<Buffer> }> {
  const tiles = new Map<string, Buffer>();
  const grown = new MerkleTree({ tile: async (level, index) => tiles.get(`${level}/${index}`) });
  const tree = { tile: async (level: number, index: number) => tiles.get(`${level}/${index}`), root: (wanted: number) => grown.root(wanted), whole: true };
  for (let next = 0; next < size; ) {
    const leaves = await reader.leaves(next, Math.min(page, size - next));
    const gap = leaves.findIndex(({ idx }, at) => idx !== next + at);
    const whole = gap < 0 ? leaves : leaves.slice(0, gap);
    if (whole.length < Math.min(page, size - next)) {
      report({ what: `log entry ${next + whole.length}: the leaf is missing, though a checkpoint covers it`, fix: restore });
      return { ...tree, whole: false };
    }
    for (const { level, index, hashes } of await grown.append(next, whole.map(({ body }) => leafHash(body)))) tiles.set(`${level}/${index}`, hashes);
    own.indexes.push(...whole.filter(({ body }) => own.marks.some((mark) => Buffer.from(body).includes(mark))).map(({ idx }) => idx));
    next += whole.length;
  }
  for (const { level, idx, hashes } of await reader.tiles()) {
    const expected = tiles.get(`${level}/${idx}`);
    // The right edge may have grown since the checkpoints were read.
    if (expected === undefined || Buffer.from(hashes).subarray(0, expected.byteLength).equals(expected)) continue;
    const at = Array.from({ length: expected.byteLength / 32 }).findIndex((_, one) => !expected.subarray(one * 32, one * 32 + 32).equals(hashes.subarray(one * 32, one * 32 + 32)));
    const which = level === 0 ? `log entry ${idx * 256 + at}: the leaf is not the one that the log's tile was made of` : `the log's tile ${level}/${idx} is not what its entries hash to`;
    report({ what: which, fix: restore });
  }
  return tree;
}

/** Each one signed by the log, for its own size, never back in time, and with the root of exactly the leaves that it covers. */
async function auditCheckpoints(notes: readonly { size: number; note: string }[], tree: { root(size: number): Promise<Buffer> } | undefined, log: LogVerifier, report: (finding: Finding) => void): Promise<Checkpoint[]> {
  const held: Checkpoint[] = [];
  let forked = false;
  for (const { size, note } of notes) {
    const refuse = (why: string) => report({ what: `checkpoint ${size}: ${why}`, fix: restore });
    try {
      const checkpoint = readCheckpoint(note, log);
      const before = held.at(-1);
      if (checkpoint.size !== size) refuse(`it is one of ${checkpoint.size} entries`);
      else if (before !== undefined && checkpoint.time < before.time) refuse('its time is before that of the one in front of it');
      // What changed in one entry changes every root behind it: said once.
      else if (tree !== undefined && !forked && !(await tree.root(size)).equals(checkpoint.root)) {
        forked = true;
        refuse('its root is not that of the entries it covers, which were changed after it was signed');
      }
      held.push(checkpoint);
    } catch (error) {
      refuse(asCairnError(error).message);
    }
  }
  return held;
}

/** Every envelope against its leaf and its signature, and every ingest: the record key's word on what counts, one a transaction. */
async function auditEnvelopes(reader: LedgerReader, sizes: readonly number[], times: ReadonlyMap<number, number>, size: number, recordKey: string, own: readonly number[], report: (finding: Finding) => void): Promise<AuditedStatement[]> {
  const keys = new Map<string, KeyObject>();
  const found = new Map<number, Omit<AuditedStatement, 'time'>>();
  const broken = new Set<number>();
  for (let next = 0; next < size; ) {
    const rows = await reader.envelopes(next, page);
    for (const row of rows) {
      if (row.logIndex >= size) break;
      try {
        found.set(row.logIndex, readRow(row, keys));
      } catch (error) {
        broken.add(row.logIndex);
        report({ what: `log entry ${row.logIndex}: ${asCairnError(error).message}`, fix: restore });
      }
    }
    next = (rows.at(-1)?.logIndex ?? size) + 1;
  }
  // Without this, whoever takes an ingest away would make all that it counted vanish.
  const missing = own.filter((index) => !found.has(index) && !broken.has(index));
  for (const index of missing) {
    report({ what: `log entry ${index}: the envelope is missing, though it is of a key of the server itself`, fix: restore });
  }
  const counted: AuditedStatement[] = [];
  for (const last of sizes.map((one) => one - 1)) {
    const ingest = found.get(last);
    // Strangers alone logged, and nothing counts; where it was an ingest, its missing envelope was reported.
    if (ingest?.key !== recordKey) continue;
    if (ingest.statement.predicateType !== predicateTypes.ingest) {
      report({ what: `log entry ${last}: it is no ingest of the record key, yet it ends a transaction`, fix: restore });
      continue;
    }
    for (const { logIndex, envelope } of parsePredicate('ingest', ingest.statement).entries) {
      const one = found.get(logIndex);
      if (one !== undefined && one.envelope === envelope) counted.push({ ...one, time: times.get(last + 1) ?? 0 });
      else if (!broken.has(logIndex)) report({ what: `log entry ${logIndex}: ${one === undefined ? 'the envelope is missing' : 'it is another envelope than'} ${one === undefined ? 'that' : 'the one that'} the ingest at ${last} names`, fix: restore });
    }
  }
  if (missing.length + broken.size === 0) {
    const named = new Set([...counted.map(({ logIndex }) => logIndex), ...sizes.map((one) => one - 1)]);
    for (const index of found.keys()) if (!named.has(index)) report({ what: `log entry ${index}: its envelope is kept, though no ingest names it`, fix: restore });
  }
  return counted.toSorted((a, b) => a.logIndex - b.logIndex);
}

function readRow({ logIndex, digest, key, body, leaf }: StoredEnvelope, keys: Map<string, KeyObject>): Omit<AuditedStatement, 'time'> {
  const envelope = parseEnvelope(parse(body));
  const actual = envelopeDigest(envelope);
  if (actual !== digest) throw new CairnError('storage', 'the envelope is not the one that was logged: its digest is another');
  const made = entryBody(pae(envelope.payloadType, payloadOf(envelope)), envelope.signatures[0].sig, Buffer.from(key, 'base64'));
  if (!made.equals(leaf)) throw new CairnError('storage', 'the leaf was made of another envelope or another key');
  const known = keys.get(key) ?? createPublicKey({ key: Buffer.from(key, 'base64'), format: 'der', type: 'spki' });
  keys.set(key, known);
  if (!verifyEnvelope(envelope, known)) throw new CairnError('storage', 'the signature does not belong to the statement');
  return { logIndex, envelope: actual, key, statement: parseStatement(payloadOf(envelope)) };
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new CairnError('storage', 'the envelope is not JSON any more', { cause });
  }
}
