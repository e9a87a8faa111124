import { setTimeout as sleep } from 'node:timers/promises';
import { asCairnError, CairnError, type Clock } from '#core';
import type { Backend } from '#gateway';
import { startInstance, takePort, type Instance } from '#targets';
import type { InstanceRecords } from './instance-records.ts';
import type { StoredLaunch } from './launches.ts';

export interface StandingOptions {
  readonly logFile: string;
  readonly records: InstanceRecords;
  readonly clock: Clock;
  /** Called whenever an instance came up or went, unless we stop. */
  readonly changed: (standing: Standing) => void;
  readonly report: (error: CairnError) => void;
}

const shortestPauseMs = 100;
const longestPauseMs = 30_000;
/** One that ran this long did not fail by starting: its next pause is the shortest again. */
const settledMs = 60_000;

/** A content that is kept running in one timeline, live or ready to be: its instances are started again when they die. */
export class Standing {
  readonly stored: StoredLaunch;
  readonly #options: StandingOptions;
  readonly #stop = new AbortController();
  readonly #healthy = new Set<Instance>();
  readonly #slots: Promise<void>[] = [];
  #failure: CairnError | undefined;

  constructor(stored: StoredLaunch, options: StandingOptions) {
    this.stored = stored;
    this.#options = options;
  }

  get healthy(): number {
    return this.#healthy.size;
  }

  backend(): Backend {
    const { content, release } = this.stored;
    return { content, release, origins: [...this.#healthy].map(({ origin }) => origin) };
  }

  /** All instances healthy, or none left. @throws CairnError `unhealthy` */
  async prepare(): Promise<void> {
    const started = await this.#launchAll();
    const failed = started.find((result) => result.status === 'rejected');
    if (failed !== undefined) {
      this.#stop.abort();
      await Promise.all(started.map((result) => (result.status === 'fulfilled' ? result.value.stop(0) : undefined)));
      throw asCairnError(failed.reason);
    }
    for (const result of started) if (result.status === 'fulfilled') this.#keep(result.value);
  }

  /** As prepare, but what fails is tried again for as long as it takes, since it is known to have run. Resolves after the first try. */
  async restore(): Promise<void> {
    for (const result of await this.#launchAll()) {
      if (result.status === 'rejected') this.#report(result.reason);
      this.#keep(result.status === 'fulfilled' ? result.value : undefined);
    }
  }

  /** Waits while all instances are down and being started again. @throws CairnError `unhealthy` with the last failure */
  async becomesHealthy(): Promise<void> {
    const { deadlineMs } = this.stored.launch.health;
    const { clock } = this.#options;
    for (const start = clock.elapsed(); this.healthy === 0 && !this.#stop.signal.aborted; await sleep(20)) {
      if (clock.elapsed() - start > deadlineMs) break;
    }
    if (this.healthy === 0) throw this.#failure ?? new CairnError('unhealthy', 'no instance of the content is running');
  }

  async probe(): Promise<boolean> {
    if (this.healthy === 0) return false;
    const answers = await Promise.all([...this.#healthy].map((instance) => instance.probe()));
    return answers.every(Boolean);
  }

  async stop(deadlineMs: number): Promise<void> {
    this.#stop.abort();
    await Promise.all([...this.#healthy].map((instance) => instance.stop(deadlineMs)));
    await Promise.all(this.#slots);
  }

  #launchAll(): Promise<PromiseSettledResult<Instance>[]> {
    return Promise.allSettled(Array.from({ length: this.stored.launch.instances }, () => this.#launch()));
  }

  async #launch(): Promise<Instance> {
    const { launch, release, content } = this.stored;
    const { records, logFile, clock } = this.#options;
    const port = await takePort();
    // A full disk takes away the record, never the application; what it costs is an orphan, should we be killed as well.
    const recorded = (writing: Promise<void>): Promise<void> => writing.catch((error: unknown) => this.#report(error));
    await recorded(records.expect(port, launch.directory));
    try {
      const instance = await startInstance({
        ...launch,
        port,
        logFile,
        release,
        content,
        clock,
        signal: this.#stop.signal,
        spawned: (pid) => recorded(records.started(port, launch.directory, pid)),
      });
      void instance.exited.then(() => recorded(records.ended(port)));
      return instance;
    } catch (error) {
      await recorded(records.ended(port));
      throw error;
    }
  }

  #keep(first: Instance | undefined): void {
    this.#slots.push(this.#supervise(first));
  }

  async #supervise(first: Instance | undefined): Promise<void> {
    const { clock, changed } = this.#options;
    let instance = first;
    let pause = shortestPauseMs;
    // Told to stop while it came up: it is nobody's yet.
    if (this.#stop.signal.aborted) await instance?.stop(0);
    while (!this.#stop.signal.aborted) {
      if (instance === undefined) await this.#pause(pause);
      const start = clock.elapsed();
      instance ??= await this.#launch().catch((error: unknown) => this.#report(error));
      if (instance !== undefined) {
        this.#healthy.add(instance);
        if (!this.#stop.signal.aborted) changed(this);
        else void instance.stop(0);
        const { code, signal } = await instance.exited;
        this.#healthy.delete(instance);
        if (this.#stop.signal.aborted) return;
        changed(this);
        this.#report(new CairnError('unhealthy', `an instance ended with ${signal ?? code} and is started again`));
      }
      pause = clock.elapsed() - start > settledMs ? shortestPauseMs : Math.min(pause * 2, longestPauseMs);
      instance = undefined;
    }
  }

  async #pause(milliseconds: number): Promise<void> {
    await sleep(milliseconds, undefined, { signal: this.#stop.signal }).catch(() => {});
  }

  #report(thrown: unknown): undefined {
    const error = asCairnError(thrown);
    if (this.#stop.signal.aborted) return;
    this.#failure = error;
    const { application, environment, content } = this.stored;
    this.#options.report(
      new CairnError(error.code, `${application} in ${environment}: ${error.message}`, {
        ...(error.fix !== undefined && { fix: error.fix }),
        context: { ...error.context, application, environment, content },
        cause: error,
      }),
    );
  }
}
