import { CairnError, sha256 } from '#core';
import { nodeHash } from './proof.ts';
import { TileTree } from './tile-tree.ts';
import { tileWidth } from './tiles.ts';

/** Reads tiles. A tile may be wider than a caller's tree needs, never narrower. */
export interface TileReader {
  /** The hashes of tile `index` at tile level `level`, 32 bytes each, as many as are known; undefined where there are none. */
  tile(level: number, index: number): Promise<Uint8Array | undefined>;
}

/** A tile as it is after an append: it replaces the narrower one before it. */
export interface TileWrite {
  readonly level: number;
  readonly index: number;
  readonly hashes: Buffer;
}

const fix = 'Restore the ledger from a backup';

/**
 * The tree over tiles: appends, roots and proofs. The tiles that were used last stay in memory with their subtrees, so that neither
 * an append at the right edge nor a proof of a recent entry reads or hashes anything twice. Tiles only grow, so what is remembered
 * stays right, unless an append was undone: then `forget`.
 */
export class MerkleTree {
  readonly #tiles: TileReader;
  readonly #keep: number;
  readonly #known = new Map<string, TileTree>();

  /** `keep`: how many tiles stay in memory, 16 KiB each. */
  constructor(tiles: TileReader, keep = 256) {
    this.#tiles = tiles;
    this.#keep = keep;
  }

  /** Appends leaf hashes to a tree of `size` leaves: the tiles that changed, and nothing else is read but the right edge. */
  async append(size: number, leaves: readonly Uint8Array[]): Promise<TileWrite[]> {
    const writes: TileWrite[] = [];
    let added: readonly Uint8Array[] = leaves;
    let count = size;
    for (let level = 0; added.length > 0; level++) {
      const above: Buffer[] = [];
      let index = Math.floor(count / tileWidth);
      let tile = await this.#edge(level, index, count % tileWidth);
      for (let at = 0; at < added.length; ) {
        const part = added.slice(at, at + tileWidth - tile.width);
        for (const hash of part) tile.push(hash);
        writes.push({ level, index, hashes: tile.bytes() });
        at += part.length;
        if (tile.width < tileWidth) continue;
        above.push(tile.node(8, 0));
        index++;
        if (at < added.length) this.#remember(level, index, (tile = new TileTree()));
      }
      count = Math.floor(count / tileWidth);
      added = above;
    }
    return writes;
  }

  async root(size: number): Promise<Buffer> {
    return this.at(size).root();
  }

  /** Root and proofs at one size: the few hashes that only this size has are computed once for all of them. */
  at(size: number): { root(): Promise<Buffer>; inclusion(index: number): Promise<Buffer[]> } {
    const ragged = new Map<number, Promise<Buffer>>();
    const range = (low: number, high: number): Promise<Buffer> => {
      if (high !== size) return this.#range(low, high);
      const known = ragged.get(low) ?? this.#range(low, high);
      ragged.set(low, known);
      return known;
    };
    return {
      root: async () => (size === 0 ? sha256('') : range(0, size)),
      inclusion: async (index) => {
        if (index < 0 || index >= size) throw new CairnError('not-found', `the log of ${size} entries has no entry ${index}`);
        const proof: Buffer[] = [];
        let [low, high] = [0, size];
        while (high - low > 1) {
          const middle = low + split(high - low);
          if (index < middle) {
            proof.push(await range(middle, high));
            high = middle;
          } else {
            proof.push(await range(low, middle));
            low = middle;
          }
        }
        return proof.toReversed();
      },
    };
  }

  /** RFC 9162 section 2.1.4.1. */
  async consistency(size1: number, size2: number): Promise<Buffer[]> {
    if (size1 < 1 || size1 > size2) throw new CairnError('not-found', `the log of ${size2} entries cannot be compared with one of ${size1}`);
    const proof: Buffer[] = [];
    let [low, high] = [0, size2];
    let whole = true;
    while (high !== size1) {
      const middle = low + split(high - low);
      if (size1 <= middle) {
        proof.push(await this.#range(middle, high));
        high = middle;
      } else {
        proof.push(await this.#range(low, middle));
        low = middle;
        whole = false;
      }
    }
    if (!whole) proof.push(await this.#range(low, high));
    return proof.toReversed();
  }

  /** After an append whose tiles were not kept: all is read again. */
  forget(): void {
    this.#known.clear();
  }

  /** RFC 9162 section 2.1.1, over the leaves from `low` to before `high`. */
  async #range(low: number, high: number): Promise<Buffer> {
    const count = high - low;
    const power = Math.log2(count);
    if (Number.isInteger(power) && low % count === 0) return this.#subtree(power, low / count);
    const middle = low + split(count);
    return nodeHash(await this.#range(low, middle), await this.#range(middle, high));
  }

  /** The hash of the complete subtree number `index` of 2^power leaves, from the tile that holds it. */
  async #subtree(power: number, index: number): Promise<Buffer> {
    const level = Math.floor(power / 8);
    const row = power % 8;
    const inTile = tileWidth / 2 ** row;
    const which = Math.floor(index / inTile);
    const known = this.#known.get(`${level}/${which}`);
    const tile = known?.has(row, index % inTile) === true ? known : await this.#read(level, which);
    if (!tile.has(row, index % inTile)) throw damaged(level, which);
    return tile.node(row, index % inTile);
  }

  async #edge(level: number, index: number, width: number): Promise<TileTree> {
    const known = width === 0 ? new TileTree() : (this.#known.get(`${level}/${index}`) ?? (await this.#read(level, index)));
    if (known.width < width) throw damaged(level, index);
    // Wider than the tree: of an append that a crash undid.
    const tile = known.width === width ? known : new TileTree(known.bytes().subarray(0, width * 32));
    this.#remember(level, index, tile);
    return tile;
  }

  async #read(level: number, index: number): Promise<TileTree> {
    const hashes = (await this.#tiles.tile(level, index)) ?? new Uint8Array();
    if (hashes.byteLength % 32 !== 0 || hashes.byteLength > tileWidth * 32) throw damaged(level, index);
    const tile = this.#known.get(`${level}/${index}`) ?? new TileTree();
    tile.extend(hashes);
    this.#remember(level, index, tile);
    return tile;
  }

  /** The ones used last are kept. */
  #remember(level: number, index: number, tile: TileTree): void {
    const name = `${level}/${index}`;
    this.#known.delete(name);
    this.#known.set(name, tile);
    if (this.#known.size > this.#keep) this.#known.delete(this.#known.keys().next().value ?? '');
  }
}

export async function appendLeaves(tiles: TileReader, size: number, leaves: readonly Uint8Array[]): Promise<TileWrite[]> {
  return new MerkleTree(tiles).append(size, leaves);
}

export async function rootAt(tiles: TileReader, size: number): Promise<Buffer> {
  return new MerkleTree(tiles).root(size);
}

/** RFC 9162 section 2.1.3.1. */
export async function inclusionProof(tiles: TileReader, index: number, size: number): Promise<Buffer[]> {
  return new MerkleTree(tiles).at(size).inclusion(index);
}

export async function consistencyProof(tiles: TileReader, size1: number, size2: number): Promise<Buffer[]> {
  return new MerkleTree(tiles).consistency(size1, size2);
}

/** The largest power of two below `count`. */
function split(count: number): number {
  return 2 ** Math.ceil(Math.log2(count) - 1);
}

function damaged(level: number, index: number): CairnError {
  return new CairnError('storage', `the log's tile ${level}/${index} is damaged`, { fix });
}
