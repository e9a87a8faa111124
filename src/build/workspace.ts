import { mkdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { CairnError } from '#core';

/**
 * Lends the one folder in which an application is built. Its path is the same for every user, clone and machine, since tools
 * write absolute paths into what they make. Made exclusively: whoever made it before in a shared /tmp is found out, and a
 * folder of somebody else is waited for, never entered.
 */
export async function withWorkspace<T>(application: string, waitMs: number, work: (directory: string) => Promise<T>): Promise<T> {
  const directory = `/tmp/cairn-build-${application}`;
  for (let waited = 0; !(await claim(directory)); waited += 200) {
    if (waited >= waitMs) throw new CairnError('build-busy', `another build holds ${directory}`, { fix: 'Wait for it, or remove the folder if nobody builds', retryable: true });
    await sleep(200);
  }
  try {
    return await work(directory);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

async function claim(directory: string): Promise<boolean> {
  try {
    await mkdir(directory, { mode: 0o700 });
    await writeFile(join(directory, 'pid'), String(process.pid), { mode: 0o600 });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
  const found = await stat(directory).catch(() => undefined);
  if (found === undefined || found.uid !== process.getuid?.()) return false;
  const pid = Number(await readFile(join(directory, 'pid'), 'utf8').catch(() => ''));
  // A folder without a pid is one that is being made at this moment, unless it stays so.
  if (!(pid > 0)) {
    if (Math.abs(found.ctimeMs - (await now(directory))) < 5000) return false;
  } else if (isAlive(pid)) return false;
  await rm(directory, { recursive: true, force: true });
  return false;
}

/** The file system's own time, so that no clock of ours is compared with it. */
async function now(directory: string): Promise<number> {
  const probe = `${directory}.now`;
  await writeFile(probe, '');
  const { ctimeMs } = await stat(probe);
  await rm(probe, { force: true });
  return ctimeMs;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
