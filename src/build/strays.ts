import { readdir, readFile } from 'node:fs/promises';

/**
 * Ends every process that a stage left: daemons in sessions of their own, too. Where stages have a user of their own it is whatever
 * runs as that user; otherwise they are known by the stage's HOME in their environment. Asked again until nobody is found, since a
 * process that is about to be ended can start another. Linux only.
 */
export async function endStrays(home: string, uid: number | null): Promise<void> {
  for (let round = 0; round < 50; round++) {
    const found = await strays(home, uid);
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

async function strays(home: string, uid: number | null): Promise<number[]> {
  const found: number[] = [];
  for (const entry of await readdir('/proc').catch(() => [])) {
    const pid = Number(entry);
    if (!/^\d+$/.test(entry) || pid === process.pid || !(await isOf(pid, home, uid))) continue;
    found.push(pid);
  }
  return found;
}

async function isOf(pid: number, home: string, uid: number | null): Promise<boolean> {
  // Not by the owner of /proc/PID: a process can make that root.
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
  // A zombie holds nothing any more; where nobody reaps orphans it stands in the table for a while.
  if (status === '' || /^State:\s+[ZX]/m.test(status)) return false;
  if (uid !== null) return /^Uid:(.*)$/m.exec(status)?.[1]?.trim().split(/\s+/).includes(String(uid)) === true;
  const environment = await readFile(`/proc/${pid}/environ`, 'utf8').catch(() => '');
  return environment.split('\0').includes(`HOME=${home}`);
}
