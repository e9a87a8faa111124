import { setTimeout as sleep } from 'node:timers/promises';
import { Cron } from 'croner';
import { asCairnError, CairnError } from '#core';
import type { Launcher } from './launcher.ts';
import type { StoredLaunch } from './launches.ts';
import type { LaunchComponent } from './protocol.ts';

/** So soon it is noticed that the machine slept, or that its clock was set. */
const longestWaitMs = 1_000;

/** When a cron runs: five fields, in UTC, so that one release means one time on every machine. @throws CairnError `invalid-configuration` */
export function scheduleOf({ name, schedule }: Pick<LaunchComponent, 'name' | 'schedule'>): { next(after: Date): Date | null } {
  try {
    // Nicknames, such as @daily, would be understood too.
    if (schedule?.trim().split(/\s+/).length !== 5) throw new TypeError('it has not five fields');
    const cron = new Cron(schedule, { mode: '5-part', timezone: 'UTC', paused: true });
    return { next: (after) => cron.nextRun(after) };
  } catch (cause) {
    throw new CairnError('invalid-configuration', `the schedule of ${name}, ${JSON.stringify(schedule)}, is not understood: ${(cause as Error).message}`, {
      fix: 'Write five fields: minute, hour, day of month, month, day of week; such as "*/10 * * * *"',
      cause,
    });
  }
}

export interface CronJobOptions {
  readonly launcher: Launcher;
  readonly report: (error: CairnError) => void;
  readonly ran: (ok: boolean) => void;
}

/** Runs one cron component at its times, one run after another: a time that comes while it still runs is passed over. */
export class CronJob {
  readonly #stored: StoredLaunch;
  readonly #component: LaunchComponent;
  readonly #options: CronJobOptions;
  /** Ends the waiting for the next time. */
  readonly #stop = new AbortController();
  /** Ends a run. */
  readonly #cut = new AbortController();
  readonly #running: Promise<void>;

  constructor(stored: StoredLaunch, component: LaunchComponent, options: CronJobOptions) {
    this.#stored = stored;
    this.#component = component;
    this.#options = options;
    this.#running = this.#work();
  }

  /** A run under way may end until the deadline. Resolves when nothing of it runs any more. */
  async stop(deadlineMs: number): Promise<void> {
    this.#stop.abort();
    const timer = setTimeout(() => this.#cut.abort(), deadlineMs);
    await this.#running;
    clearTimeout(timer);
  }

  async #work(): Promise<void> {
    const { clock } = this.#options.launcher;
    const schedule = scheduleOf(this.#component);
    while (!this.#stop.signal.aborted) {
      const next = schedule.next(clock.now());
      // Such as the 30th of February.
      if (next === null) return;
      for (let left = 1; left > 0 && !this.#stop.signal.aborted; ) {
        left = next.getTime() - clock.now().getTime();
        await sleep(Math.min(Math.max(left, 0), longestWaitMs), undefined, { signal: this.#stop.signal }).catch(() => {});
      }
      if (!this.#stop.signal.aborted) await this.#run();
    }
  }

  async #run(): Promise<void> {
    const { launcher, ran } = this.#options;
    const { name, command, timeoutMs } = this.#component;
    try {
      const once = { command, timeoutMs: timeoutMs ?? longestRunMs, signal: this.#cut.signal };
      const { code, how, lines } = await launcher.once(this.#stored, this.#component, once, (error) => this.#report(error));
      ran(code === 0);
      if (code !== 0) this.#report(new CairnError('task-failed', `the cron ${name} ${how}`, { fix: 'See its log: cairn logs', context: { lines } }));
    } catch (error) {
      ran(false);
      this.#report(error);
    }
  }

  #report(thrown: unknown): void {
    const { code, message, context, fix } = asCairnError(thrown);
    const { application, environment, content } = this.#stored;
    const more = { ...context, application, environment, content, component: this.#component.name };
    this.#options.report(new CairnError(code, `${application} in ${environment}: ${message}`, { context: more, cause: thrown, ...(fix !== undefined && { fix }) }));
  }
}

const longestRunMs = 3_600_000;
