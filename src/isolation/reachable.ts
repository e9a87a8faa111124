import { realpath, stat } from 'node:fs/promises';
import { dirname } from 'node:path';

/** The first folder on the way to `path`, itself included, that other users may not enter; null where all are open. What is not there yet is left out. */
export async function closedFolder(path: string): Promise<string | null> {
  let there = path;
  while (!(await stat(there).then(() => true, () => false)) && dirname(there) !== there) there = dirname(there);
  const chain = [await realpath(there)];
  for (let folder = chain[0] as string; dirname(folder) !== folder; chain.unshift(folder)) folder = dirname(folder);
  for (const folder of chain) {
    const { mode } = await stat(folder);
    if ((mode & 0o001) === 0) return folder;
  }
  return null;
}

/** Whether other users can get to `path`: every folder on the way may be entered by all. */
export async function reachable(path: string): Promise<boolean> {
  return (await closedFolder(path)) === null;
}
