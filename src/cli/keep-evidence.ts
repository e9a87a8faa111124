import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { canonicalJson, digestOf, ensureDurableDirectory, writeFileDurable } from '#core';
import type { LogEvidence } from '#log';

/** Keeps it under its own digest: the same again is the same file. It is on the disk before anybody is told. @returns the path */
export async function keepEvidence(folder: string, evidence: LogEvidence): Promise<string> {
  const bytes = canonicalJson(evidence);
  const path = join(folder, `${evidence.origin.replaceAll(/[^A-Za-z0-9.-]/g, '_').slice(0, 100)}-${digestOf(bytes).slice(7, 19)}.json`);
  await ensureDurableDirectory(folder, 0o700);
  await writeFileDurable(path, bytes);
  return path;
}

/** Paths of what is kept there, by name. */
export async function keptEvidence(folder: string): Promise<string[]> {
  const names = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw error;
  });
  return names.filter((name) => name.endsWith('.json')).toSorted().map((name) => join(folder, name));
}
