import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { KeyObject } from 'node:crypto';
import { algorithms, keyId } from './note.ts';
import { rawKey } from './checkpoint.ts';
import { entryBundle, tilePath, tileWidth } from './tiles.ts';
import type { TileReader } from './tree.ts';

/** A note verifier key: `name+hex(id4)+base64(algorithm || key)`. */
export function vkey(name: string, key: KeyObject): string {
  const raw = rawKey(key);
  const id = keyId(name, algorithms.ed25519, raw).subarray(0, 4).toString('hex');
  return `${name}+${id}+${Buffer.concat([Buffer.from([algorithms.ed25519]), raw]).toString('base64')}`;
}

/** Writes the log as a static C2SP tlog-tiles tree, which any file server can serve and Tessera's fsck can check. */
export async function exportLog(log: TileReader & { bodies(from: number, to: number): Promise<Uint8Array[]> }, checkpoint: { size: number; note: string }, directory: string): Promise<void> {
  const write = async (path: string, bytes: Uint8Array | string) => {
    await mkdir(dirname(join(directory, path)), { recursive: true });
    await writeFile(join(directory, path), bytes);
  };
  for (let first = 0; first < checkpoint.size; first += tileWidth) {
    const bodies = await log.bodies(first, Math.min(first + tileWidth, checkpoint.size));
    await write(tilePath('entries', first / tileWidth, bodies.length), entryBundle(bodies));
  }
  for (let level = 0, count = checkpoint.size; count > 0; level++, count = Math.floor(count / tileWidth)) {
    for (let index = 0; index * tileWidth < count; index++) {
      const width = Math.min(tileWidth, count - index * tileWidth);
      const hashes = (await log.tile(level, index)) ?? new Uint8Array();
      await write(tilePath(level, index, width), hashes.subarray(0, width * 32));
    }
  }
  await write('checkpoint', checkpoint.note);
}
