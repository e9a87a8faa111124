import { readdir, readFile, readlink, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { ensureDurableDirectory, writeFileDurable } from '#core';
import { processStart } from './process-start.ts';

const record = z.strictObject({
  port: z.number().int(),
  directory: z.string(),
  /** Absent between the decision to start a process and the moment it is known. */
  process: z.strictObject({ pid: z.number().int().min(2), start: z.string() }).optional(),
});
type Record = z.infer<typeof record>;

/**
 * Which processes are ours, so that a runner that follows a killed one can stop what that one left behind: orphans hold memory,
 * locks and ports, and their output goes nowhere. Written before a process starts (`expect`) and when it has (`started`); a crash
 * in between leaves a record without a number, for which the process is looked for by its port and folder.
 */
export class InstanceRecords {
  readonly #folder: string;

  private constructor(folder: string) {
    this.#folder = folder;
  }

  static async open(folder: string): Promise<InstanceRecords> {
    await ensureDurableDirectory(folder, 0o700);
    return new InstanceRecords(folder);
  }

  async expect(port: number, directory: string): Promise<void> {
    await this.#write({ port, directory });
  }

  async started(port: number, directory: string, pid: number): Promise<void> {
    const start = await processStart(pid);
    if (start !== undefined) await this.#write({ port, directory, process: { pid, start } });
  }

  /** Not durable: a record that comes back names a process that is gone, and does nothing. */
  async ended(port: number): Promise<void> {
    await rm(this.#path(port), { force: true });
  }

  /** Kills what a former runner left, and waits until it is gone. Returns the process numbers. */
  async killOrphans(): Promise<number[]> {
    const killed: number[] = [];
    for (const file of await readdir(this.#folder)) {
      const path = join(this.#folder, file);
      const orphan = file.endsWith('.json') ? parse(await readFile(path, 'utf8')) : undefined;
      if (orphan !== undefined) {
        const found = orphan.process === undefined ? await findByPort(orphan) : [orphan.process.pid];
        for (const pid of found) if (await kill(pid, orphan.process?.start)) killed.push(pid);
      }
      await rm(path, { force: true });
    }
    return killed;
  }

  #path(port: number): string {
    return join(this.#folder, `${port}.json`);
  }

  #write(written: Record): Promise<void> {
    return writeFileDurable(this.#path(written.port), JSON.stringify(written), 0o600);
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

/** Processes that have the port in their environment and work in the folder: both together are only ever ours. */
async function findByPort({ port, directory }: Record): Promise<number[]> {
  const found: number[] = [];
  for (const name of await readdir('/proc').catch(() => [])) {
    if (!/^\d+$/.test(name)) continue;
    const environment = await readFile(`/proc/${name}/environ`, 'utf8').catch(() => '');
    if (!environment.split('\0').includes(`PORT=${port}`)) continue;
    const folder = await readlink(`/proc/${name}/cwd`).catch(() => '');
    const status = await readFile(`/proc/${name}/stat`, 'utf8').catch(() => '');
    const leads = status.slice(status.lastIndexOf(')') + 2).split(' ')[2] === name;
    if (leads && (folder === directory || folder === join(directory, 'app'))) found.push(Number(name));
  }
  return found;
}
