import { CairnError } from '#core';

// C2SP tlog-tiles: a tile holds up to 256 hashes; tile level L holds the roots of subtrees of 256^L leaves.

export const tileWidth = 256;

/** Path of a tile: N in groups of three digits, all but the last with an `x` before it; a partial tile ends in `.p/W`. */
export function tilePath(level: number | 'entries', index: number, width: number): string {
  const digits = index.toString().padStart(Math.ceil(index.toString().length / 3) * 3, '0');
  const groups = digits.match(/.{3}/g) ?? [];
  const path = groups.map((group, at) => (at < groups.length - 1 ? `x${group}` : group)).join('/');
  return `tile/${level}/${path}${width === tileWidth ? '' : `.p/${width}`}`;
}

/** An entry bundle: each entry behind its length as big-endian uint16. */
export function entryBundle(entries: readonly Uint8Array[]): Buffer {
  const parts: Uint8Array[] = [];
  for (const entry of entries) {
    if (entry.byteLength > 65_535) throw new CairnError('storage', 'a log entry is larger than 65,535 bytes');
    const length = Buffer.alloc(2);
    length.writeUInt16BE(entry.byteLength);
    parts.push(length, entry);
  }
  return Buffer.concat(parts);
}
