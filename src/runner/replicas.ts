import { setTimeout as sleep } from 'node:timers/promises';
import { asCairnError, CairnError, type Clock } from '#core';
import type { Instance } from '#targets';
import type { Launcher } from './launcher.ts';
import type { StoredLaunch } from './launches.ts';
import type { LaunchComponent } from './protocol.ts';

export interface ReplicasOptions {
  readonly launcher: Launcher;
  readonly clock: Clock;
  /** Called whenever an instance came up or went, unless we stop. */
  readonly changed: () => void;
  readonly report: (error: CairnError) => void;
}

export interface Replica {
  readonly instance: Instance;
  readonly restarts: number;
}

const shortestPauseMs = 100;
const longestPauseMs = 30_000;
/** One that ran this long did not fail by starting: its next pause is the shortest again. */
const settledMs = 60_000;

/** The instances of one web or worker component of a content: started again, with growing pauses, whenever they end. */
export class Replicas {
  readonly stored: StoredLaunch;
  readonly component: LaunchComponent;
  readonly #options: ReplicasOptions;
  readonly #stop = new AbortController();
  readonly #up = new Map<Instance, number>();
  #beginning: Promise<void> = Promise.resolve();
  readonly #slots: Promise<void>[] = [];
  #failure: CairnError | undefined;
  #exits = 0;
  /** How long what is still coming up when we stop may take to end. */
  #deadlineMs = 0;
  #tried = false;
  #downSince: number | undefined;

  constructor(stored: StoredLaunch, component: LaunchComponent, options: ReplicasOptions) {
    this.stored = stored;
    this.component = component;
    this.#options = options;
  }

  get up(): Replica[] {
    return [...this.#up].map(([instance, restarts]) => ({ instance, restarts }));
  }

  get healthy(): number {
    return this.#up.size;
  }

  /** How often an instance ended, or could not be started, that nobody had told to end. */
  get exits(): number {
    return this.#exits;
  }

  /** When the last instance went, in elapsed time; undefined while one is up, and before the first try has ended. */
  get downSince(): number | undefined {
    return this.#downSince;
  }

  /** The first try to start all of them has ended. */
  get tried(): boolean {
    return this.#tried;
  }

  get failure(): CairnError | undefined {
    return this.#failure;
  }

  /** All instances healthy, or none left. @throws CairnError `unhealthy`, `digest-mismatch` */
  prepare(): Promise<void> {
    return (this.#beginning = this.#prepare());
  }

  /** As prepare, but what fails is tried again for as long as it takes. Resolves after the first try. */
  restore(): Promise<void> {
    return (this.#beginning = this.#restore());
  }

  /** Every instance answers its health check, now. */
  async probe(): Promise<boolean> {
    if (this.healthy === 0) return false;
    const answers = await Promise.all([...this.#up.keys()].map((instance) => instance.probe()));
    return answers.every(Boolean);
  }

  /** Resolves when nothing of it runs, also of what was just coming up. */
  async stop(deadlineMs: number): Promise<void> {
    this.#deadlineMs = deadlineMs;
    this.#stop.abort();
    await Promise.all([...this.#up.keys()].map((instance) => instance.stop(deadlineMs)));
    await this.#beginning.catch(() => {});
    await Promise.all(this.#slots);
  }

  async #prepare(): Promise<void> {
    const started = await this.#launchAll();
    const failed = started.find((result) => result.status === 'rejected');
    if (failed !== undefined) {
      this.#stop.abort();
      await Promise.all(started.map((result) => (result.status === 'fulfilled' ? result.value.stop(0) : undefined)));
      throw asCairnError(failed.reason);
    }
    for (const result of started) if (result.status === 'fulfilled') this.#keep(result.value);
  }

  async #restore(): Promise<void> {
    for (const result of await this.#launchAll()) {
      if (result.status === 'rejected') this.#failed(result.reason);
      this.#keep(result.status === 'fulfilled' ? result.value : undefined);
    }
    this.#mark();
  }

  async #launchAll(): Promise<PromiseSettledResult<Instance>[]> {
    const started = await Promise.allSettled(Array.from({ length: this.component.instances }, () => this.#launch()));
    this.#tried = true;
    return started;
  }

  #launch(): Promise<Instance> {
    // A worker works from its first moment and ends as any other; what serves nobody yet need not be asked kindly.
    const signal = this.component.kind === 'web' ? this.#stop.signal : undefined;
    return this.#options.launcher.start(this.stored, this.component, signal, (error) => this.#report(error));
  }

  #keep(first: Instance | undefined): void {
    this.#slots.push(this.#supervise(first));
  }

  async #supervise(first: Instance | undefined): Promise<void> {
    const { clock, changed } = this.#options;
    let instance = first;
    let pause = shortestPauseMs;
    // Told to stop while it came up: it is nobody's yet.
    if (this.#stop.signal.aborted) await instance?.stop(this.#deadlineMs);
    for (let restarts = 0; !this.#stop.signal.aborted; restarts++) {
      if (instance === undefined) await sleep(pause, undefined, { signal: this.#stop.signal }).catch(() => {});
      const start = clock.elapsed();
      instance ??= await this.#launch().catch((error: unknown) => this.#failed(error));
      if (instance !== undefined) {
        this.#up.set(instance, restarts);
        this.#mark();
        if (!this.#stop.signal.aborted) changed();
        else void instance.stop(this.#deadlineMs);
        const { how } = await instance.exited;
        this.#up.delete(instance);
        if (this.#stop.signal.aborted) return;
        this.#failed(new CairnError('unhealthy', `an instance of ${this.component.name} ${how} and is started again`));
        this.#mark();
        changed();
      }
      pause = clock.elapsed() - start > settledMs ? shortestPauseMs : Math.min(pause * 2, longestPauseMs);
      instance = undefined;
    }
  }

  #mark(): void {
    if (this.healthy > 0) this.#downSince = undefined;
    else if (this.#tried) this.#downSince ??= this.#options.clock.elapsed();
  }

  #failed(thrown: unknown): undefined {
    if (this.#stop.signal.aborted) return;
    this.#exits++;
    this.#report(thrown);
  }

  #report(thrown: unknown): undefined {
    if (this.#stop.signal.aborted) return;
    const error = asCairnError(thrown);
    this.#failure = error;
    const { application, environment, content } = this.stored;
    this.#options.report(
      new CairnError(error.code, `${application} in ${environment}: ${error.message}`, {
        ...(error.fix !== undefined && { fix: error.fix }),
        context: { ...error.context, application, environment, content, component: this.component.name },
        cause: error,
      }),
    );
  }
}
