import { CairnError, sha256 } from '#core';
import { nodeHash } from './proof.ts';
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

/** Appends leaf hashes to a tree of `size` leaves: the tiles that changed, and nothing else is read but the right edge. */
export async function appendLeaves(tiles: TileReader, size: number, leaves: readonly Buffer[]): Promise<TileWrite[]> {
  const writes: TileWrite[] = [];
  let added: readonly Buffer[] = leaves;
  let count = size;
  for (let level = 0; added.length > 0; level++) {
    const above: Buffer[] = [];
    let index = Math.floor(count / tileWidth);
    const width = count % tileWidth;
    let hashes = width === 0 ? Buffer.alloc(0) : Buffer.from((await tiles.tile(level, index)) ?? []).subarray(0, width * 32);
    if (hashes.byteLength !== width * 32) throw new CairnError('storage', `the log's tile ${level}/${index} is damaged`, { fix: 'Restore the ledger from a backup' });
    for (let at = 0; at < added.length; ) {
      const room = tileWidth - hashes.byteLength / 32;
      const part = added.slice(at, at + room);
      hashes = Buffer.concat([hashes, ...part]);
      writes.push({ level, index, hashes });
      at += part.length;
      if (hashes.byteLength === tileWidth * 32) {
        above.push(foldTile(hashes));
        index++;
        hashes = Buffer.alloc(0);
      }
    }
    count = Math.floor(count / tileWidth);
    added = above;
  }
  return writes;
}

export async function rootAt(tiles: TileReader, size: number): Promise<Buffer> {
  if (size === 0) return sha256('');
  return rangeHash(cached(tiles), 0, size);
}

/** RFC 9162 section 2.1.3.1. */
export async function inclusionProof(tiles: TileReader, index: number, size: number): Promise<Buffer[]> {
  if (index < 0 || index >= size) throw new CairnError('not-found', `the log of ${size} entries has no entry ${index}`);
  const reader = cached(tiles);
  const proof: Buffer[] = [];
  let [low, high] = [0, size];
  while (high - low > 1) {
    const middle = low + split(high - low);
    if (index < middle) {
      proof.unshift(await rangeHash(reader, middle, high));
      high = middle;
    } else {
      proof.unshift(await rangeHash(reader, low, middle));
      low = middle;
    }
  }
  return proof;
}

/** RFC 9162 section 2.1.4.1. */
export async function consistencyProof(tiles: TileReader, size1: number, size2: number): Promise<Buffer[]> {
  if (size1 < 1 || size1 > size2) throw new CairnError('not-found', `the log of ${size2} entries cannot be compared with one of ${size1}`);
  const reader = cached(tiles);
  const proof: Buffer[] = [];
  let [low, high] = [0, size2];
  let whole = true;
  while (high !== size1) {
    const middle = low + split(high - low);
    if (size1 <= middle) {
      proof.unshift(await rangeHash(reader, middle, high));
      high = middle;
    } else {
      proof.unshift(await rangeHash(reader, low, middle));
      low = middle;
      whole = false;
    }
  }
  if (!whole) proof.unshift(await rangeHash(reader, low, high));
  return proof;
}

/** The largest power of two below `count`. */
function split(count: number): number {
  return 2 ** Math.ceil(Math.log2(count) - 1);
}

async function rangeHash(tiles: TileReader, low: number, high: number): Promise<Buffer> {
  const count = high - low;
  const power = Math.log2(count);
  if (Number.isInteger(power) && low % count === 0) return subtreeHash(tiles, power, low / count);
  const middle = low + split(count);
  return nodeHash(await rangeHash(tiles, low, middle), await rangeHash(tiles, middle, high));
}

/** The hash of the complete subtree number `index` of 2^power leaves, folded from the tile that holds its lower edge. */
async function subtreeHash(tiles: TileReader, power: number, index: number): Promise<Buffer> {
  const level = Math.floor(power / 8);
  const span = 2 ** (power % 8);
  const first = index * span;
  const tile = await tiles.tile(level, Math.floor(first / tileWidth));
  const offset = (first % tileWidth) * 32;
  const hashes = Buffer.from(tile ?? []).subarray(offset, offset + span * 32);
  if (hashes.byteLength !== span * 32) throw new CairnError('storage', `the log's tile ${level}/${Math.floor(first / tileWidth)} is damaged`, { fix: 'Restore the ledger from a backup' });
  return foldTile(hashes);
}

function foldTile(hashes: Buffer): Buffer {
  let row: Buffer[] = [];
  for (let at = 0; at < hashes.byteLength; at += 32) row.push(hashes.subarray(at, at + 32));
  while (row.length > 1) {
    const next: Buffer[] = [];
    for (let at = 0; at < row.length; at += 2) next.push(nodeHash(row[at] ?? Buffer.alloc(0), row[at + 1] ?? Buffer.alloc(0)));
    row = next;
  }
  return Buffer.from(row[0] ?? Buffer.alloc(0));
}

function cached(tiles: TileReader): TileReader {
  const seen = new Map<string, Promise<Uint8Array | undefined>>();
  return {
    tile: (level, index) => {
      const key = `${level}/${index}`;
      const known = seen.get(key) ?? tiles.tile(level, index);
      seen.set(key, known);
      return known;
    },
  };
}
