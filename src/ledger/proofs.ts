import { createPublicKey } from 'node:crypto';
import { makeBundle, parseEnvelope, parseStatement, payloadOf, type Envelope, type LogEntry, type Statement } from '#attest';
import { CairnError, isDigest, type Digest } from '#core';
import type { Logged } from '#release';
import { keyHint } from '#sign';
import { noteTime } from './note-time.ts';
import type { Placed, Written } from './group.ts';
import type { Database } from './schema.ts';
import type { Truth } from './truth.ts';

/** One entry with its proof, and the time that its checkpoint says. */
export interface Proven {
  readonly entry: LogEntry;
  readonly time: number;
}

type Fresh = NonNullable<Placed['fresh']>;

/** Entries and bundles with their proofs. An entry's is against the first checkpoint that covers it, so that its bytes are the same whenever it is made. */
export class Proofs {
  readonly #database: Database;
  readonly #truth: Truth;
  readonly #logId: (note: string) => string;
  readonly #hints = new Map<string, string>();
  /** The tree at the newest checkpoint: all who were written together share what is computed for one. */
  #newest: { size: number; tree: ReturnType<Truth['tree']['at']> } | undefined;

  /** `logId`: that of the key which signed a checkpoint. */
  constructor(database: Database, truth: Truth, logId: (note: string) => string) {
    this.#database = database;
    this.#truth = truth;
    this.#logId = logId;
  }

  async entryAt(index: number): Promise<Proven> {
    const leaf = await this.#database.selectFrom('leaves').select('body').where('idx', '=', index).executeTakeFirst();
    const checkpoint = await this.#database.selectFrom('checkpoints').selectAll().where('size', '>', index).orderBy('size').limit(1).executeTakeFirst();
    if (leaf === undefined || checkpoint === undefined) throw new CairnError('not-found', `the log has no entry ${index}`, { fix: 'cairn status shows how long it is' });
    return this.#prove(index, leaf.body, { ...checkpoint, time: noteTime(checkpoint.note) });
  }

  async entryOf({ logIndex, fresh }: Placed, body: Uint8Array): Promise<Proven> {
    return fresh === undefined ? this.entryAt(logIndex) : this.#prove(logIndex, body, fresh);
  }

  /** @throws CairnError `storage` where the envelope is not there */
  async logged(digest: string): Promise<Logged> {
    const row = await this.#database.selectFrom('envelopes').selectAll().where('digest', '=', digest).executeTakeFirst();
    if (row === undefined || !isDigest(digest)) throw new CairnError('storage', `the ledger lacks the envelope ${digest}, which the log names`, { fix: 'Restore the ledger from a backup' });
    const envelope = parseEnvelope(JSON.parse(row.body));
    return this.#logged({ envelope, key: row.key, digest, statement: parseStatement(payloadOf(envelope)) }, row.idx, await this.entryAt(row.idx));
  }

  /** What was just written, without reading it again. */
  async loggedNow(written: Written): Promise<Logged> {
    if (written.logIndex === undefined) return this.logged(written.digest);
    return this.#logged(written, written.logIndex, await this.entryOf(written, written.leaf.body));
  }

  #logged({ envelope, key, digest, statement }: { envelope: Envelope; key: string; digest: Digest; statement: Statement }, logIndex: number, { entry, time }: Proven): Logged {
    return Object.freeze({ envelope, key, digest, logIndex, time, statement, bundle: makeBundle(envelope, this.#hint(key), entry) });
  }

  async #prove(index: number, body: Uint8Array, { size, note, time }: Fresh): Promise<Proven> {
    const known = this.#newest?.size === size ? this.#newest : { size, tree: this.#truth.tree.at(size) };
    if (size >= (this.#newest?.size ?? 0)) this.#newest = known;
    const [hashes, root] = [await known.tree.inclusion(index), await known.tree.root()];
    const entry: LogEntry = {
      logIndex: String(index),
      logId: { keyId: this.#logId(note) },
      kindVersion: { kind: 'hashedrekord', version: '0.0.2' },
      integratedTime: '0',
      inclusionProof: { logIndex: String(index), rootHash: root.toString('base64'), treeSize: String(size), hashes: hashes.map((hash) => hash.toString('base64')), checkpoint: { envelope: note } },
      canonicalizedBody: Buffer.from(body).toString('base64'),
    };
    return { entry, time };
  }

  #hint(key: string): string {
    const hint = this.#hints.get(key) ?? keyHint(createPublicKey({ key: Buffer.from(key, 'base64'), format: 'der', type: 'spki' }));
    if (this.#hints.size > 1024) this.#hints.clear();
    this.#hints.set(key, hint);
    return hint;
  }
}
