import { join } from 'node:path';
import type { CairnError, Clock } from '#core';
import { createGateway, type Tls } from '#gateway';
import { openIsolation } from '#isolation';
import { openControlSocket } from './control-socket.ts';
import { DataPlane } from './data-plane.ts';
import { History } from './history.ts';
import { InstanceRecords } from './instance-records.ts';
import { Journal } from './journal.ts';
import { Launcher } from './launcher.ts';
import { Launches, type Seal } from './launches.ts';
import { Places } from './places.ts';
import { Plans } from './plans.ts';

export interface RunnerEnvironment {
  readonly name: string;
  readonly host: string;
  readonly port: number;
  readonly tls?: Tls;
}

export interface RunnerOptions {
  /** Holds the journal, launches, plans, records of instances and, in `logs/APPLICATION/ENVIRONMENT.jsonl`, what applications print. */
  readonly directory: string;
  readonly socketPath: string;
  /** Absolute. Persistent data of applications: `ENVIRONMENT/APPLICATION/NAME`. Other users must be able to pass through it. */
  readonly data: string;
  /** Which application has which user; the one folder of the home, since builds have theirs from it too. */
  readonly users: string;
  readonly seal: Seal;
  readonly environments: readonly RunnerEnvironment[];
  readonly clock: Clock;
  /** How long what is in flight may take to end, and processes after SIGTERM. Default 10 seconds. */
  readonly drainMs?: number;
  /** What happened outside of any request, such as an instance that died. Default: nobody is told. */
  readonly report?: (error: CairnError) => void;
  /** Called as soon as the folder is ours alone, before anything else: whoever starts something beside us never does so beside another runner. */
  readonly locked?: () => void;
}

export interface Runner {
  /** The port of each environment, which differs from the asked one where that was 0. */
  readonly ports: ReadonlyMap<string, number>;
  /** New certificates, without a connection lost. @throws CairnError `invalid-configuration` */
  setTls(environment: string, tls: Tls): void;
  /** Stops accepting, drains, stops every instance, removes the socket. */
  close(): Promise<void>;
}

/**
 * The data plane's process, in a folder that is locked. However the former one ended, this is the one way to start: what it left
 * running is killed, what was live runs again from its launch, and only then are the doors opened. `unlock` is called at the end.
 */
export async function openRunner(options: RunnerOptions, unlock: () => void): Promise<Runner> {
  const { directory, socketPath, data, environments, clock, drainMs = 10_000, report = () => {} } = options;
  const undo: (() => unknown)[] = [unlock];
  async function undoAll(): Promise<void> {
    for (const step of undo.splice(0).toReversed()) await step();
  }
  try {
    const history = new History();
    const [isolation, records, launches, plans, journal] = await together([
      openIsolation({ folder: options.users, mustReach: data }),
      InstanceRecords.open(join(directory, 'instances'), data),
      Launches.open(join(directory, 'launch'), options.seal),
      Plans.open(join(directory, 'plans'), report),
      Journal.open(join(directory, 'journal.jsonl'), (entry) => history.apply(entry)).then((opened) => {
        undo.push(() => opened.close());
        return opened;
      }),
    ]);
    await Promise.all([isolation.killLeftovers(), records.killOrphans()]);

    const gateway = createGateway({ clock });
    const names = environments.map(({ name }) => name);
    const places = new Places(data, isolation);
    const launcher = new Launcher({ places, records, logs: join(directory, 'logs'), clock });
    const plane = new DataPlane({ clock, gateway, journal, history, launches, launcher, places, plans, environments: names, drainMs, report });
    undo.push(() => plane.stop());
    await plane.restore();

    undo.push(() => gateway.close(drainMs));
    const ports = new Map<string, number>();
    for (const { name, host, port, tls } of environments) ports.set(name, (await gateway.listen(name, host, port, tls === undefined ? {} : { tls })).port);
    const socket = await openControlSocket(socketPath, plane);
    // Last of all: until then a request that is being answered may end with its answer.
    undo.unshift(() => socket.closeAllConnections());
    // Removes the file too.
    undo.push(() => {
      socket.close();
      socket.closeIdleConnections();
    });
    return { ports, setTls: (environment, tls) => gateway.setTls(environment, tls), close: undoAll };
  } catch (error) {
    await undoAll();
    throw error;
  }
}

/** At the same time; where one fails, the others have ended too before anything is undone. */
async function together<T extends readonly unknown[] | []>(work: T): Promise<{ -readonly [K in keyof T]: Awaited<T[K]> }> {
  await Promise.allSettled(work);
  return Promise.all(work);
}
