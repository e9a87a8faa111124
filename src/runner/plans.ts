import { readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { CairnError, ensureDurableDirectory, Mutex, writeFileDurable } from '#core';
import { planRequest, type PlanRequest } from './protocol.ts';
import { storageError } from './storage-error.ts';
import { timelineKey, type TimelineName } from './words.ts';

/**
 * Where each timeline may return to without anybody being asked, as the control server last said: for a revert by itself and for a
 * rollback while the server is away. One file each, and in memory, so that a way back reads nothing.
 */
export class Plans {
  readonly #folder: string;
  readonly #plans = new Map<string, PlanRequest>();
  /** What stands in the files: the server hands the same plan every few seconds. */
  readonly #kept = new Map<string, string>();
  readonly #writing = new Mutex();

  private constructor(folder: string) {
    this.#folder = folder;
  }

  /** A plan that can't be read is no plan: it is told, and the server hands a new one. */
  static async open(folder: string, report: (error: CairnError) => void): Promise<Plans> {
    await ensureDurableDirectory(folder, 0o700);
    const plans = new Plans(folder);
    for (const file of (await readdir(folder)).filter((name) => name.endsWith('.json'))) {
      try {
        const plan = planRequest.parse(JSON.parse(await readFile(join(folder, file), 'utf8')));
        plans.#plans.set(timelineKey(plan), plan);
      } catch (cause) {
        report(new CairnError('storage', `the plan of ways back ${join(folder, file)} can't be read`, { fix: 'The control server hands the runner a new one when it starts', cause }));
      }
    }
    return plans;
  }

  of(timeline: TimelineName): PlanRequest | undefined {
    return this.#plans.get(timelineKey(timeline));
  }

  /** Durable when it resolves. @throws CairnError `storage-full`, `storage`: it counts all the same, until the runner ends */
  async keep(plan: PlanRequest): Promise<void> {
    const key = timelineKey(plan);
    const text = JSON.stringify(plan);
    this.#plans.set(key, plan);
    await this.#writing.run(async () => {
      if (this.#kept.get(key) === text) return;
      const path = join(this.#folder, `${plan.application}@${plan.environment}.json`);
      await writeFileDurable(path, text, 0o600).catch(async (cause: NodeJS.ErrnoException) => {
        // What it takes the place of may name a content that was revoked since: it must not come back with a restart.
        await rm(path, { force: true });
        this.#kept.delete(key);
        throw storageError("the plan of ways back can't be kept", cause, true);
      });
      this.#kept.set(key, text);
    });
  }
}
