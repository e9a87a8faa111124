import { readFile } from 'node:fs/promises';
import { CairnError, ensureDurableDirectory, writeFileDurable } from '#core';
import { parseSigstoreRoots, seedRoot, type SigstoreRoot } from '#verify';
import type { HomePaths } from './home.ts';

/** Whose certificates, logs and timestamps this machine believes beside its own log: what was put here, or else the seed. */
export async function sigstoreRoots(paths: HomePaths): Promise<{ readonly from: 'seed' | 'home'; readonly roots: readonly SigstoreRoot[] }> {
  const bytes = await readFile(paths.roots).catch((cause: NodeJS.ErrnoException) => {
    // Only a file that is not there means the seed: one that cannot be read may hold another trust.
    if (cause.code === 'ENOENT') return undefined;
    throw new CairnError('storage', `${paths.roots} cannot be read: ${cause.message}`, { cause, fix: 'cairn trust root FILE' });
  });
  return bytes === undefined ? { from: 'seed', roots: [seedRoot()] } : { from: 'home', roots: parseSigstoreRoots(bytes) };
}

/** Takes the place of what was believed before. @throws CairnError `malformed-document`, with nothing changed */
export async function putSigstoreRoots(paths: HomePaths, bytes: Uint8Array): Promise<readonly SigstoreRoot[]> {
  const roots = parseSigstoreRoots(bytes);
  await ensureDurableDirectory(paths.root);
  await writeFileDurable(paths.roots, bytes, 0o600);
  return roots;
}
