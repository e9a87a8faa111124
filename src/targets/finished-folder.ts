import { randomBytes } from 'node:crypto';
import { chmod, mkdir, readdir, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { ensureDurableDirectory, exists, fsyncDirectory } from '#core';

/** What this process is making. */
const making = new Set<string>();

/**
 * Makes a folder whole or not at all: `fill` writes to a temporary sibling, which takes its name when all of it is on the disk.
 * A crash before leaves a `.tmp-*` folder, which nothing reads; of two who make the same folder at once, the first to finish wins
 * and the other's work is thrown away, which is right because the name says the content. `directories` are the relative paths of
 * those made, parents first; they become read-only at the end.
 */
export async function makeFinished(directory: string, fill: (root: string) => Promise<readonly string[]>): Promise<void> {
  if (await exists(directory)) return;
  await ensureDurableDirectory(dirname(directory));
  const temporary = `${directory}.tmp-${process.pid}-${randomBytes(6).toString('hex')}`;
  making.add(basename(temporary));
  try {
    await mkdir(temporary, { mode: 0o755 });
    const directories = await fill(temporary);
    // Children first: a folder's own entry is durable with its parent.
    for (const path of ['', ...directories].toReversed()) {
      await chmod(join(temporary, path), 0o555);
      await fsyncDirectory(join(temporary, path));
    }
    await rename(temporary, directory).catch(async (error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error;
      await removeFinished(temporary);
    });
  } catch (error) {
    await removeFinished(temporary);
    throw error;
  } finally {
    making.delete(basename(temporary));
  }
  await fsyncDirectory(dirname(directory));
}

/** Read-only folders can't be emptied by their owner unless they are made writable first. Absent is as good as removed. */
export async function removeFinished(directory: string): Promise<void> {
  await makeWritable(directory);
  await rm(directory, { recursive: true, force: true });
}

async function makeWritable(directory: string): Promise<void> {
  try {
    await chmod(directory, 0o755);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
    throw error;
  }
  for (const entry of await readdir(directory, { withFileTypes: true })) {
    if (entry.isDirectory()) await makeWritable(join(directory, entry.name));
  }
}

/**
 * Removes what crashed processes left half made in a folder of finished ones, and returns the names. What this process or another
 * living one is making stays.
 */
export async function removeLeftovers(folder: string): Promise<string[]> {
  const removed: string[] = [];
  for (const name of (await exists(folder)) ? await readdir(folder) : []) {
    const maker = /\.tmp-(?:(\d+)-)?[0-9a-f]{12}$/.exec(name);
    if (maker === null || making.has(name) || livesElsewhere(Number(maker[1]))) continue;
    await removeFinished(join(folder, name));
    removed.push(name);
  }
  return removed;
}

function livesElsewhere(pid: number): boolean {
  if (!(pid > 0) || pid === process.pid) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
