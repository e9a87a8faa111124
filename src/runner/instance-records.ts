import { readdir, readFile, rm } from 'node:fs/promises';
import { join, sep } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { ensureDurableDirectory, writeFileDurable } from '#core';
import { processStart } from './process-start.ts';

const record = z.strictObject({ pid: z.number().int().min(2), start: z.string() });
type Record = z.infer<typeof record>;

/**
 * Which processes are ours, so that a runner that follows a killed one can stop what that one left behind: orphans hold memory,
 * locks and ports, their output goes nowhere, and a worker among them would work beside the one that is started now. A process is
 * recorded when it has started. One that a crash, or a full disk, kept from being recorded is found by the home folder in its
 * environment, which is nobody else's, where the system lets us look (Linux).
 */
export class InstanceRecords {
  readonly #folder: string;
  readonly #homes: string;

  private constructor(folder: string, homes: string) {
    this.#folder = folder;
    this.#homes = homes;
  }

  /** `homes`: the folder that all homes of our processes are in. */
  static async open(folder: string, homes: string): Promise<InstanceRecords> {
    await ensureDurableDirectory(folder, 0o700);
    return new InstanceRecords(folder, homes);
  }

  async started(pid: number): Promise<void> {
    const start = await processStart(pid);
    if (start !== undefined) await writeFileDurable(this.#path(pid), JSON.stringify({ pid, start } satisfies Record), 0o600);
  }

  /** Not durable: a record that comes back names a process that is gone, and does nothing. */
  async ended(pid: number): Promise<void> {
    await rm(this.#path(pid), { force: true });
  }

  /** Kills what a former runner left, and waits until it is gone. Returns the process numbers. */
  async killOrphans(): Promise<number[]> {
    const orphans = new Map<number, string | undefined>();
    for (const file of await readdir(this.#folder)) {
      const path = join(this.#folder, file);
      const orphan = file.endsWith('.json') ? parse(await readFile(path, 'utf8')) : undefined;
      if (orphan !== undefined) orphans.set(orphan.pid, orphan.start);
      await rm(path, { force: true });
    }
    for (const pid of await this.#unrecorded()) if (!orphans.has(pid)) orphans.set(pid, undefined);
    const killed = await Promise.all([...orphans].map(async ([pid, start]) => ((await kill(pid, start)) ? [pid] : [])));
    return killed.flat();
  }

  #path(pid: number): string {
    return join(this.#folder, `${pid}.json`);
  }

  /** Leaders of their groups whose home is one of ours and who bear a component's name: all three are only ever ours. */
  async #unrecorded(): Promise<number[]> {
    const names = (await readdir('/proc').catch(() => [])).filter((name) => /^\d+$/.test(name));
    const found = await Promise.all(
      names.map(async (name) => {
        const environment = (await readFile(`/proc/${name}/environ`, 'utf8').catch(() => '')).split('\0');
        const ours = environment.some((one) => one.startsWith(`HOME=${this.#homes}${sep}`)) && environment.some((one) => one.startsWith('CAIRN_COMPONENT='));
        if (!ours || Number(name) === process.pid) return [];
        const status = await readFile(`/proc/${name}/stat`, 'utf8').catch(() => '');
        return status.slice(status.lastIndexOf(')') + 2).split(' ')[2] === name ? [Number(name)] : [];
      }),
    );
    return found.flat();
  }
}

function parse(text: string): Record | undefined {
  try {
    return record.parse(JSON.parse(text));
  } catch {
    return undefined;
  }
}

/** Never a process whose start differs from the recorded one: the number may be anybody's by now. */
async function kill(pid: number, start: string | undefined): Promise<boolean> {
  const actual = await processStart(pid);
  if (actual === undefined || (start !== undefined && actual !== start)) return false;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
    throw error;
  }
  for (let wait = 0; wait < 200 && (await processStart(pid)) === actual; wait++) await sleep(10);
  return true;
}
