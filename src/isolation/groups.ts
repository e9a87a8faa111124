import { randomBytes } from 'node:crypto';
import { mkdir, readdir, readFile, rmdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { exists } from '#core';
import type { Limits } from './confined.ts';

/** A kernel's group of processes (cgroup): what is started in it is counted, limited and found together. */
export interface Group {
  /** Files to which a process writes 0 to join. */
  readonly joins: readonly string[];
  memoryKills(): Promise<number>;
  kill(): Promise<number[]>;
  remove(): Promise<void>;
}

const period = 100_000;

/**
 * The groups of one home on this machine, below `cairn` in the kernel's tree: version 2, or version 1 with a tree for each
 * controller. A group's name says whose it is, `HOME.PID.RANDOM.NAME`, so that what a killed process left is told from what another
 * has just made.
 */
export class Groups {
  readonly #home: string;
  readonly #version: 1 | 2;
  /** Absolute, ours: one with version 2, memory and cpu with version 1. */
  readonly #trees: readonly string[];

  private constructor(home: string, version: 1 | 2, trees: readonly string[]) {
    this.#home = home;
    this.#version = version;
    this.#trees = trees;
  }

  /** @throws Error that says why there are no groups */
  static async open(root: string, home: string): Promise<Groups> {
    if (await exists(join(root, 'cgroup.controllers'))) {
      const has = (await readFile(join(root, 'cgroup.controllers'), 'utf8')).split(/\s+/);
      for (const wanted of ['memory', 'cpu']) if (!has.includes(wanted)) throw new Error(`${root} has no ${wanted} controller`);
      const tree = join(root, 'cairn');
      await mkdir(tree, { recursive: true });
      for (const folder of [root, tree]) await writeFile(join(folder, 'cgroup.subtree_control'), '+memory +cpu');
      return new Groups(home, 2, [tree]);
    }
    const trees = ['memory', 'cpu'].map((controller) => join(root, controller));
    for (const tree of trees) if (!(await exists(join(tree, 'cgroup.procs')))) throw new Error(`there is no ${tree}`);
    for (const tree of trees) await mkdir(join(tree, 'cairn'), { recursive: true });
    return new Groups(home, 1, trees.map((tree) => join(tree, 'cairn')));
  }

  async make(name: string, limits: Limits): Promise<Group> {
    const id = `${this.#home}.${process.pid}.${randomBytes(4).toString('hex')}.${name}`;
    const folders = this.#trees.map((tree) => join(tree, id));
    const group = groupOf(folders, this.#version);
    try {
      for (const folder of folders) await mkdir(folder);
      await (this.#version === 2 ? limit2(folders, limits) : limit1(folders, limits));
    } catch (error) {
      await group.remove();
      throw error;
    }
    return group;
  }

  /** Removes what killed processes left and nobody is in any more, of any home. With `kill`, empties those of this home first; returns whom it killed. */
  async sweep(kill: boolean): Promise<number[]> {
    const killed: number[] = [];
    for (const id of new Set((await Promise.all(this.#trees.map((tree) => readdir(tree)))).flat())) {
      const [home, owner] = id.split('.');
      if (!(Number(owner) > 0) || lives(Number(owner))) continue;
      const group = groupOf(this.#trees.map((tree) => join(tree, id)), this.#version);
      if (kill && home === this.#home) killed.push(...(await group.kill()));
      await group.remove();
    }
    return killed;
  }
}

async function limit2([folder = '']: readonly string[], { memoryMb, cpus }: Limits): Promise<void> {
  if (memoryMb !== null) {
    await writeFile(join(folder, 'memory.max'), String(memoryMb * 2 ** 20));
    // Not there without swap. A process that passes the limit takes those it works with along, so that none waits for it for ever.
    await writeFile(join(folder, 'memory.swap.max'), '0', { flag: 'r+' }).catch(() => {});
    await writeFile(join(folder, 'memory.oom.group'), '1', { flag: 'r+' }).catch(() => {});
  }
  if (cpus !== null) await writeFile(join(folder, 'cpu.max'), `${quota(cpus)} ${period}`);
}

async function limit1([memory = '', cpu = '']: readonly string[], { memoryMb, cpus }: Limits): Promise<void> {
  if (memoryMb !== null) {
    const bytes = String(memoryMb * 2 ** 20);
    await writeFile(join(memory, 'memory.limit_in_bytes'), bytes);
    // Memory and swap together; not there where the kernel does not count swap.
    await writeFile(join(memory, 'memory.memsw.limit_in_bytes'), bytes, { flag: 'r+' }).catch(() => {});
  }
  if (cpus !== null) {
    await writeFile(join(cpu, 'cpu.cfs_period_us'), String(period));
    await writeFile(join(cpu, 'cpu.cfs_quota_us'), String(quota(cpus)));
  }
}

/** In microseconds a period; the kernel takes no less than a millisecond. */
function quota(cpus: number): number {
  return Math.max(1_000, Math.round(cpus * period));
}

function groupOf(folders: readonly string[], version: 1 | 2): Group {
  const [first = ''] = folders;
  const kill = async (): Promise<number[]> => {
    const killed = new Set<number>();
    // Again until nobody is left: between the reading and the killing another may have been forked.
    for (let round = 0; round < 200; round++) {
      const inside = (await Promise.all(folders.map(members))).flat();
      if (inside.length === 0) break;
      for (const pid of inside) {
        killed.add(pid);
        killOne(pid);
      }
      await sleep(round < 10 ? 1 : 10);
    }
    return [...killed];
  };
  return {
    joins: folders.map((folder) => join(folder, 'cgroup.procs')),
    async memoryKills() {
      const text = await readFile(join(first, version === 2 ? 'memory.events' : 'memory.oom_control'), 'utf8').catch(() => '');
      return Number(/^oom_kill (\d+)$/m.exec(text)?.[1] ?? 0);
    },
    kill,
    async remove() {
      // One that was killed is a member until it is reaped; a group with members stays, for the next sweep.
      for (const folder of folders) {
        for (let wait = 0; wait < 50; wait++) {
          const left = await rmdir(folder).catch((error: NodeJS.ErrnoException) => error.code);
          if (left !== 'EBUSY' || (await members(folder)).length > 0) break;
          await sleep(10);
        }
      }
    },
  };
}

async function members(folder: string): Promise<number[]> {
  const text = await readFile(join(folder, 'cgroup.procs'), 'utf8').catch(() => '');
  // 0 is a process of another namespace: killing it would be killing ourselves.
  return text.split('\n').map(Number).filter((pid) => pid > 1 && pid !== process.pid);
}

function killOne(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // Gone meanwhile.
  }
}

function lives(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
