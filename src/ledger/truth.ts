import { leafHash, MerkleTree, type TileReader, type TileWrite } from '#log';
import { noteTime } from './note-time.ts';
import type { Connection } from './sqlite.ts';

/** A leaf that is to be written, hashed once. */
export interface Leaf {
  readonly body: Buffer;
  readonly hash: Buffer;
}

export function leafOf(body: Buffer): Leaf {
  return { body, hash: leafHash(body) };
}

/** The tables that are the truth, as the one writer sees and extends them, and the tree over them. */
export class Truth {
  readonly tree: MerkleTree;
  readonly #connection: Connection;
  readonly #size;
  readonly #last;
  readonly #candidates;
  readonly #envelope;
  readonly #leaf;
  readonly #seen;
  readonly #addEnvelope;
  readonly #tile;
  readonly #checkpoint;

  constructor(connection: Connection) {
    const { prepare } = connection;
    const tile = prepare('select hashes from tiles where level = ? and idx = ?');
    const reader: TileReader = { tile: async (level, index) => tile.get(level, index)?.['hashes'] as Uint8Array | undefined };
    this.tree = new MerkleTree(reader);
    this.#size = prepare('select max(idx) as idx from leaves');
    this.#last = prepare('select size, note from checkpoints order by size desc limit 1');
    this.#candidates = prepare('select leaves.idx as idx, body from seen join leaves on leaves.idx = seen.idx where hash = ?');
    this.#envelope = prepare('select idx from envelopes where digest = ?');
    this.#leaf = prepare('insert into leaves (idx, body) values (?, ?)');
    this.#seen = prepare('insert into seen (hash, idx) values (?, ?)');
    this.#addEnvelope = prepare('insert into envelopes (digest, idx, key, body) values (?, ?, ?, ?)');
    this.#tile = prepare('insert into tiles (level, idx, hashes) values (?, ?, ?) on conflict (level, idx) do update set hashes = excluded.hashes');
    this.#checkpoint = prepare('insert into checkpoints (size, note) values (?, ?)');
    this.#connection = connection;
  }

  size(): number {
    const idx = this.#size.get()?.['idx'];
    return typeof idx === 'number' ? idx + 1 : 0;
  }

  lastTime(): number {
    const row = this.#last.get();
    return row === undefined ? 0 : noteTime(row['note'] as string);
  }

  /** Index of the leaf with exactly this body. */
  find({ body, hash }: Leaf): number | undefined {
    const found = this.#candidates.all(shortHash(hash)).find((row) => Buffer.compare(row['body'] as Uint8Array, body) === 0);
    return found?.['idx'] as number | undefined;
  }

  hasEnvelope(digest: string): boolean {
    return this.#envelope.get(digest) !== undefined;
  }

  /** The leaf index is a primary key, so that two writers that fence badly collide instead of forking the log. */
  addLeaf(idx: number, { body, hash }: Leaf): void {
    this.#leaf.run(idx, body);
    this.#seen.run(shortHash(hash), idx);
  }

  addEnvelope(digest: string, idx: number, key: string, body: string): void {
    this.#addEnvelope.run(digest, idx, key, body);
  }

  addTile({ level, index, hashes }: TileWrite): void {
    this.#tile.run(level, index, hashes);
  }

  addCheckpoint(size: number, note: string): void {
    this.#checkpoint.run(size, note);
  }

  /** Whether the ledger was written before there was a table of leaves by their hashes. */
  lacksSeen(): boolean {
    const { prepare } = this.#connection;
    return prepare('select 1 as one from seen limit 1').get() === undefined && prepare('select 1 as one from leaves limit 1').get() !== undefined;
  }

  /** Only the answer to a second request for one entry hangs on it. */
  fillSeen(): void {
    const page = this.#connection.prepare('select idx, body from leaves where idx >= ? order by idx limit 1000');
    for (let next = 0; ; ) {
      const rows = page.all(next);
      for (const { idx, body } of rows) {
        this.#seen.run(shortHash(leafHash(body as Uint8Array)), idx as number);
        next = (idx as number) + 1;
      }
      if (rows.length < 1000) return;
    }
  }
}

function shortHash(hash: Buffer): number {
  return hash.readUIntBE(0, 6);
}
