import { appendFile, readdir, readFile, rm, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { ensureDurableDirectory, type Digest } from '#core';

/** What was looked at and is not worth another look, until what is believed changes. */
export interface Seen {
  has(digest: string): boolean;
  /** Takes them in for good. A crash loses at most the last of them, which costs one more look. */
  add(digests: readonly string[]): Promise<void>;
}

const width = 32;

/**
 * Remembers digests in one file a subject, 32 bytes each: a stranger who attaches as much as he likes pays more for it than we do. What was
 * refused under one policy and one trusted root (`footing`) may hold under another: each has a file of its own, and older ones go.
 */
export async function openSeen(folder: string, subject: Digest, footing: Digest): Promise<Seen> {
  await ensureDurableDirectory(folder, 0o700);
  const prefix = `${subject.slice(7)}.`;
  const name = `${prefix}${footing.slice(7, 23)}`;
  const path = join(folder, name);
  for (const other of await readdir(folder)) if (other.startsWith(prefix) && other !== name) await rm(join(folder, other), { force: true });
  const bytes = await readFile(path).catch(() => Buffer.alloc(0));
  const whole = bytes.byteLength - (bytes.byteLength % width);
  if (whole < bytes.byteLength) await truncate(path, whole);
  const known = new Set<string>();
  for (let at = 0; at < whole; at += width) known.add(bytes.toString('latin1', at, at + width));
  const keyOf = (digest: string) => Buffer.from(digest.slice(7), 'hex').toString('latin1');
  return {
    has: (digest) => known.has(keyOf(digest)),
    async add(digests) {
      const fresh = digests.map(keyOf).filter((key) => !known.has(key));
      if (fresh.length === 0) return;
      await appendFile(path, Buffer.from(fresh.join(''), 'latin1'), { mode: 0o600 });
      for (const key of fresh) known.add(key);
    },
  };
}
