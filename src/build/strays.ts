import { readdir, readFile } from 'node:fs/promises';

/**
 * Ends what a stage left that was not in its group any more: daemons in sessions of their own are known by the stage's HOME in their
 * environment. Asked again until nobody is found, since a process that is about to be ended can start another. Never by user: homes
 * on one machine may have given the same number to others. Linux only.
 */
export async function endStrays(home: string): Promise<void> {
  for (let round = 0; round < 50; round++) {
    const found = await strays(home);
    if (found.length === 0) return;
    for (const pid of found) kill(pid);
  }
}

export function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // Nobody is left: as it should be.
  }
}

async function strays(home: string): Promise<number[]> {
  const found: number[] = [];
  for (const entry of await readdir('/proc').catch(() => [])) {
    const pid = Number(entry);
    if (!/^\d+$/.test(entry) || pid === process.pid) continue;
    const environment = await readFile(`/proc/${pid}/environ`, 'utf8').catch(() => '');
    if (!environment.split('\0').includes(`HOME=${home}`)) continue;
    const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
    // A zombie holds nothing any more; where nobody reaps orphans it stands in the table for a while.
    if (status !== '' && !/^State:\s+[ZX]/m.test(status)) found.push(pid);
  }
  return found;
}
