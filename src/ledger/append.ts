import { envelopeDigest, makeStatement, pae, parseStatement, payloadOf, predicateTypes, signEnvelope, type Statement } from '#attest';
import type { Clock, Digest } from '#core';
import { entryBody, formatCheckpoint, type LogKeys } from '#log';
import type { SignedStatement } from '#release';
import { spkiOf, type Signer } from '#sign';
import { leafOf, type Leaf, type Truth } from './truth.ts';

export interface Appender {
  readonly keys: LogKeys;
  readonly record: Signer;
  readonly clock: Clock;
}

/** A statement that is to be logged, with all that is computed from it, computed once and before anybody waits for it. */
export interface Incoming extends SignedStatement {
  readonly digest: Digest;
  readonly statement: Statement;
  readonly leaf: Leaf;
  readonly text: string;
}

export function incoming({ envelope, key }: SignedStatement): Incoming {
  const payload = payloadOf(envelope);
  const body = entryBody(pae(envelope.payloadType, payload), envelope.signatures[0].sig, Buffer.from(key, 'base64'));
  return { envelope, key, digest: envelopeDigest(envelope), statement: parseStatement(payload), leaf: leafOf(body), text: JSON.stringify(envelope) };
}

/** What one transaction adds to the log. Leaves get their numbers as they come; a call that is refused takes its own away again. */
export class Draft {
  readonly #truth: Truth;
  readonly size: number;
  readonly leaves: Leaf[] = [];
  readonly counted: { readonly logIndex: number; readonly one: Incoming }[] = [];
  readonly #indexes = new Map<string, number>();
  readonly #envelopes = new Map<string, number>();

  constructor(truth: Truth, size: number) {
    this.#truth = truth;
    this.size = size;
  }

  /** Where the statement is in the log by this same transaction. */
  indexOf(digest: string): number | undefined {
    return this.#envelopes.get(digest);
  }

  /** Where the leaf is, in the log or in this draft. */
  find(leaf: Leaf): number | undefined {
    return this.#indexes.get(leaf.hash.toString('latin1')) ?? this.#truth.find(leaf);
  }

  /** A leaf that is in the log already, perhaps from a stranger who logged the statement before us, is not logged twice. */
  add(leaf: Leaf): number {
    const known = this.find(leaf);
    if (known !== undefined) return known;
    const index = this.size + this.leaves.push(leaf) - 1;
    this.#indexes.set(leaf.hash.toString('latin1'), index);
    return index;
  }

  count(one: Incoming): number {
    const logIndex = this.add(one.leaf);
    this.counted.push({ logIndex, one });
    this.#envelopes.set(one.digest, logIndex);
    return logIndex;
  }

  /** @returns what takes away all that comes after this call. */
  mark(): () => void {
    const [leaves, counted] = [this.leaves.length, this.counted.length];
    return () => {
      for (const leaf of this.leaves.splice(leaves)) this.#indexes.delete(leaf.hash.toString('latin1'));
      for (const { one } of this.counted.splice(counted)) this.#envelopes.delete(one.digest);
    };
  }

  /**
   * Writes the draft behind one ingest, if anything of it counts: leaves, envelopes, tiles, checkpoint.
   * @returns the checkpoint; undefined where there is nothing to write
   */
  async write(appender: Appender, time: number): Promise<{ size: number; note: string } | undefined> {
    const truth = this.#truth;
    for (const { logIndex, one } of this.counted) truth.addEnvelope(one.digest, logIndex, one.key, one.text);
    if (this.counted.length > 0) {
      const ingest = incoming(ingestOf(this.counted, appender));
      truth.addEnvelope(ingest.digest, this.add(ingest.leaf), ingest.key, ingest.text);
    }
    if (this.leaves.length === 0) return undefined;
    for (const [at, leaf] of this.leaves.entries()) truth.addLeaf(this.size + at, leaf);
    for (const tile of await truth.tree.append(this.size, this.leaves.map(({ hash }) => hash))) truth.addTile(tile);
    const size = this.size + this.leaves.length;
    const note = formatCheckpoint(appender.keys, size, await truth.tree.root(size), time);
    truth.addCheckpoint(size, note);
    return { size, note };
  }
}

function ingestOf(counted: Draft['counted'], { record }: Appender): SignedStatement {
  const statement: Statement = {
    predicateType: predicateTypes.ingest,
    subject: counted.map(({ one, logIndex }) => ({ name: `envelope ${logIndex}`, digest: { sha256: one.digest.slice(7) } })),
    predicate: { entries: counted.map(({ one, logIndex }) => ({ logIndex, envelope: one.digest })) },
  };
  return { envelope: signEnvelope(makeStatement(statement), record), key: spkiOf(record.publicKey).toString('base64') };
}
