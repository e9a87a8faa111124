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

/** A path in exactly the form of `tilePath`; undefined for any other. */
export function parseTilePath(path: string): { level: number | 'entries'; index: number; width: number } | undefined {
  const match = /^tile\/(entries|[0-9]{1,2})\/((?:x[0-9]{3}\/){0,4}[0-9]{3})(?:\.p\/([1-9][0-9]{0,2}))?$/.exec(path);
  if (match === null) return undefined;
  const level = match[1] === 'entries' ? 'entries' : Number(match[1]);
  const index = Number(match[2]?.replaceAll(/[x/]/g, ''));
  const width = match[3] === undefined ? tileWidth : Number(match[3]);
  // One tile, one path: a cache keeps no second copy, and nobody is shown an empty or an overfull one.
  return tilePath(level, index, width) === path && width <= tileWidth ? { level, index, width } : undefined;
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
