import { join } from 'node:path';
import type { Clock } from '#core';
import { runOnce, startInstance, takePort, type Instance, type Program, type RunResult } from '#targets';
import type { InstanceRecords } from './instance-records.ts';
import type { StoredLaunch } from './launches.ts';
import type { Places } from './places.ts';
import type { LaunchComponent } from './protocol.ts';

export interface LauncherOptions {
  readonly places: Places;
  readonly records: InstanceRecords;
  readonly logs: string;
  readonly clock: Clock;
}

export interface Once {
  readonly command: readonly string[];
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
}

/** Starts processes of contents: under their user and limits, in their folders, recorded so that no later runner leaves them running. */
export class Launcher {
  readonly #options: LauncherOptions;
  readonly #stop = new AbortController();
  readonly #running = new Set<Promise<unknown>>();

  constructor(options: LauncherOptions) {
    this.#options = options;
  }

  get clock(): Clock {
    return this.#options.clock;
  }

  /** @throws CairnError `unhealthy`, `digest-mismatch`, with the last lines of its log in the context */
  async start(stored: StoredLaunch, component: LaunchComponent, signal: AbortSignal | undefined, failed: (error: unknown) => void): Promise<Instance> {
    const program = await this.#program(stored, component, failed);
    const port = component.kind === 'web' ? await takePort().catch(closing(program)) : null;
    return startInstance({ ...program, command: component.command, port, health: component.health, ...(signal !== undefined && { signal }) });
  }

  /** Runs a command of the component to its end, or to the runner's. */
  async once(stored: StoredLaunch, component: LaunchComponent, once: Once, failed: (error: unknown) => void): Promise<RunResult> {
    const running = this.#once(stored, component, once, failed);
    this.#running.add(running);
    return running.finally(() => this.#running.delete(running));
  }

  /** Ends commands that run to their end; instances are their replicas' to stop. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await Promise.allSettled(this.#running);
  }

  async #once(stored: StoredLaunch, component: LaunchComponent, { command, timeoutMs, signal }: Once, failed: (error: unknown) => void): Promise<RunResult> {
    const program = await this.#program(stored, component, failed);
    return runOnce({ ...program, command, timeoutMs, signal: AbortSignal.any([this.#stop.signal, ...(signal === undefined ? [] : [signal])]) });
  }

  async #program(stored: StoredLaunch, component: LaunchComponent, failed: (error: unknown) => void): Promise<Omit<Program, 'command'>> {
    const { places, records, logs, clock } = this.#options;
    const { application, environment, release, content } = stored;
    const confined = await places.confine(stored, component.limits);
    const { home, variables } = await places.open(stored, component, confined).catch(closing({ confined }));
    // A full disk takes away the record, never the application.
    const recorded = (writing: Promise<void>): Promise<void> => writing.catch(failed);
    let pid: number | undefined;
    return {
      directory: component.directory,
      variables: { ...component.environment, ...variables },
      // Closed when the process is gone, however that came.
      confined: { ...confined, close: () => Promise.all([confined.close(), pid === undefined ? undefined : recorded(records.ended(pid))]).then(() => {}) },
      home,
      runtime: component.runtime,
      logFile: join(logs, application, `${environment}.jsonl`),
      place: { application, environment, component: component.name },
      release,
      content,
      clock,
      spawned: (started) => recorded(records.started((pid = started))),
    };
  }
}

/** For what is thrown before anybody else closes it. */
function closing({ confined }: Pick<Program, 'confined'>): (error: unknown) => Promise<never> {
  return async (error) => {
    await confined.close();
    throw error;
  };
}
