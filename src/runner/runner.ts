import { join } from 'node:path';
import { ensureDurableDirectory, type CairnError, type Clock } from '#core';
import { createGateway } from '#gateway';
import { openControlSocket } from './control-socket.ts';
import { DataPlane } from './data-plane.ts';
import { History } from './history.ts';
import { InstanceRecords } from './instance-records.ts';
import { Journal } from './journal.ts';
import { Launches } from './launches.ts';
import { lockFolder } from './lock.ts';

export interface RunnerOptions {
  /** Holds the journal, launches, records of instances and, in `logs/APPLICATION/ENVIRONMENT.jsonl`, what applications print. */
  readonly directory: string;
  readonly socketPath: string;
  readonly environments: readonly { readonly name: string; readonly host: string; readonly port: number }[];
  readonly clock: Clock;
  /** How long what is in flight may take to end, and processes after SIGTERM. Default 10 seconds. */
  readonly drainMs?: number;
  /** What happened outside of any request, such as an instance that died. Default: nobody is told. */
  readonly report?: (error: CairnError) => void;
}

export interface Runner {
  /** The port of each environment, which differs from the asked one where that was 0. */
  readonly ports: ReadonlyMap<string, number>;
  /** Stops accepting, drains, stops every instance, removes the socket. */
  close(): Promise<void>;
}

/**
 * The data plane's process. However the former one ended, this is the one way to start: what it left running is killed, what was
 * live runs again from its launch, and only then are the doors opened.
 * @throws CairnError `already-running`, `port-taken`, `storage`
 */
export async function startRunner(options: RunnerOptions): Promise<Runner> {
  const { directory, socketPath, environments, clock, drainMs = 10_000, report = () => {} } = options;
  const undo: (() => unknown)[] = [];
  async function undoAll(): Promise<void> {
    for (const step of undo.splice(0).toReversed()) await step();
  }
  try {
    await ensureDurableDirectory(directory, 0o700);
    undo.push(lockFolder(join(directory, 'lock')));
    const records = await InstanceRecords.open(join(directory, 'instances'));
    await records.killOrphans();
    const launches = await Launches.open(join(directory, 'launch'));
    const history = new History();
    const journal = await Journal.open(join(directory, 'journal.jsonl'), (entry) => history.apply(entry));
    undo.push(() => journal.close());

    const gateway = createGateway({ clock });
    const names = environments.map(({ name }) => name);
    const logs = join(directory, 'logs');
    const plane = new DataPlane({ clock, gateway, journal, history, launches, records, environments: names, logs, drainMs, report });
    undo.push(() => plane.stop());
    await plane.restore();

    undo.push(() => gateway.close(drainMs));
    const ports = new Map<string, number>();
    for (const { name, host, port } of environments) ports.set(name, (await gateway.listen(name, host, port)).port);
    const socket = await openControlSocket(socketPath, plane);
    // Last of all: until then a request that is being answered may end with its answer.
    undo.unshift(() => socket.closeAllConnections());
    // Removes the file too.
    undo.push(() => {
      socket.close();
      socket.closeIdleConnections();
    });
    return { ports, close: undoAll };
  } catch (error) {
    await undoAll();
    throw error;
  }
}
