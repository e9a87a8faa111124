import { mkdir, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { KeyObject } from 'node:crypto';
import { writeFileDurable } from '#core';
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

/**
 * Writes the log as a static C2SP tlog-tiles tree, which any file server can serve and Tessera's fsck can check. Goes on from an export
 * of `from` entries: only what is new is written, and the checkpoint last, so that whoever is served meanwhile finds all that it covers.
 */
export async function exportLog(log: TileReader & { bodies(from: number, to: number): Promise<Uint8Array[]> }, checkpoint: { size: number; note: string }, directory: string, from = 0): Promise<void> {
  const write = async (path: string, bytes: Uint8Array, whole: boolean) => {
    await mkdir(dirname(join(directory, path)), { recursive: true });
    await writeFile(join(directory, path), bytes);
    // The narrower ones before it say nothing that it does not say.
    if (whole) await rm(join(directory, `${path}.p`), { recursive: true, force: true });
  };
  for (let first = from - (from % tileWidth); first < checkpoint.size; first += tileWidth) {
    const bodies = await log.bodies(first, Math.min(first + tileWidth, checkpoint.size));
    await write(tilePath('entries', first / tileWidth, bodies.length), entryBundle(bodies), bodies.length === tileWidth);
  }
  let [known, count] = [from, checkpoint.size];
  for (let level = 0; count > 0; level++) {
    for (let index = Math.floor(known / tileWidth); index * tileWidth < count; index++) {
      const width = Math.min(tileWidth, count - index * tileWidth);
      const hashes = (await log.tile(level, index)) ?? new Uint8Array();
      await write(tilePath(level, index, width), hashes.subarray(0, width * 32), width === tileWidth);
    }
    [known, count] = [Math.floor(known / tileWidth), Math.floor(count / tileWidth)];
  }
  await writeFileDurable(join(directory, 'checkpoint'), checkpoint.note);
}
