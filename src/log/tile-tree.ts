import { nodeHash } from './proof.ts';
import { tileWidth } from './tiles.ts';

const rows = 9;
/** Where each row begins: 256 hashes, then 128, 64, ... 1. */
const offsets = Array.from({ length: rows }, (_, row) => (2 * tileWidth - (2 * tileWidth >> row)) * 32);

/**
 * A tile and every complete subtree within it, each hashed once, as soon as it is complete. What was written stays as it is:
 * a caller's view of one hash holds while the tile grows.
 */
export class TileTree {
  readonly #hashes = Buffer.alloc((2 * tileWidth - 1) * 32);
  #width = 0;

  constructor(hashes: Uint8Array = Buffer.alloc(0)) {
    this.extend(hashes);
  }

  get width(): number {
    return this.#width;
  }

  push(hash: Uint8Array): void {
    this.#hashes.set(hash, this.#width * 32);
    this.#width++;
    for (let row = 1, count = this.#width; count % 2 === 0 && row < rows; row++) {
      count /= 2;
      this.#hashes.set(nodeHash(this.node(row - 1, 2 * count - 2), this.node(row - 1, 2 * count - 1)), (offsets[row] ?? 0) + (count - 1) * 32);
    }
  }

  /** Takes in what a wider tile has more than this one. */
  extend(hashes: Uint8Array): void {
    for (let at = this.#width; at < hashes.byteLength / 32; at++) this.push(hashes.subarray(at * 32, at * 32 + 32));
  }

  /** Whether the subtree number `at` of 2^row hashes is complete. */
  has(row: number, at: number): boolean {
    return (at + 1) * 2 ** row <= this.#width;
  }

  node(row: number, at: number): Buffer {
    const start = (offsets[row] ?? 0) + at * 32;
    return this.#hashes.subarray(start, start + 32);
  }

  /** A copy of the tile itself. */
  bytes(): Buffer {
    return Buffer.from(this.#hashes.subarray(0, this.#width * 32));
  }
}
