import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { CairnError, exists, type Clock, type Digest } from '#core';
import { releasePort, takePort } from './free-port.ts';
import { becomesHealthy, isHealthy, type Health } from './health.ts';
import { LogLines } from './log-lines.ts';

export interface InstanceOptions {
  /** The composed content; the process works in its `app` folder where there is one. */
  readonly directory: string;
  readonly command: readonly string[];
  /** All of it: nothing of our own environment is inherited, since that would let a digest run differently on two machines. */
  readonly environment: Readonly<Record<string, string>>;
  /** Taken with `takePort` by a caller who must know it before the process exists; it is given back when the process is gone. */
  readonly port?: number;
  readonly logFile: string;
  readonly release: Digest;
  readonly content: Digest;
  readonly clock: Clock;
  readonly health: Health;
  /** Called, and waited for, as soon as there is a process, before it is healthy: to record it. If it throws, the process is stopped. */
  readonly spawned?: (pid: number) => Promise<void>;
  /** Ends the wait for health, and the process, before the deadline. */
  readonly signal?: AbortSignal;
}

export interface Exit {
  readonly code: number | null;
  readonly signal: string | null;
}

export interface Instance {
  readonly pid: number;
  readonly port: number;
  /** `http://127.0.0.1:PORT` */
  readonly origin: string;
  /** When the process is gone, its children are stopped and its log is written. Never rejects. */
  readonly exited: Promise<Exit>;
  /** Asks the health path once. */
  probe(): Promise<boolean>;
  /** SIGTERM to the process and all its children, SIGKILL after the deadline. Resolves when the process is gone. */
  stop(deadlineMs: number): Promise<void>;
}

/**
 * Starts one process of a content and waits until it is healthy.
 * @throws CairnError `unhealthy`, with the last lines of its log in the context; the process is stopped then
 */
export async function startInstance(options: InstanceOptions): Promise<Instance> {
  const { directory, command, environment, release, content, health } = options;
  const port = options.port ?? (await takePort());
  const log = await LogLines.open(options.logFile, options.clock).catch((error: unknown) => {
    releasePort(port);
    throw error;
  });
  const application = join(directory, 'app');
  const [program = '', ...args] = command;
  const child = spawn(program, args, {
    cwd: (await exists(application)) ? application : directory,
    env: { ...environment, PORT: String(port), HOST: '127.0.0.1' },
    stdio: ['ignore', 'pipe', 'pipe'],
    // A session and group of its own: a signal to the group reaches what the process started too, and one to our terminal does not.
    detached: true,
  });
  const failure = await spawnFailure(child);
  if (failure !== undefined) {
    await log.close();
    releasePort(port);
    throw new CairnError('unhealthy', `${program} can't be started: ${failure.message}`, {
      fix: 'Check the run command of the component; its PATH is what its configuration gives, nothing is inherited',
      context: { command, lines: [] },
      cause: failure,
    });
  }
  const pid = child.pid as number;
  const exited = gone(child, log, { release, content, pid }).finally(() => releasePort(port));
  const stop = async (deadlineMs: number): Promise<void> => {
    signalGroup(pid, child, 'SIGTERM');
    const timer = setTimeout(() => signalGroup(pid, child, 'SIGKILL'), deadlineMs);
    await exited;
    clearTimeout(timer);
  };

  try {
    await options.spawned?.(pid);
    await untilHealthy(port, health, exited, log, options.signal);
  } catch (error) {
    await stop(0);
    throw error;
  }
  return { pid, port, origin: `http://127.0.0.1:${port}`, exited, probe: () => isHealthy(port, health.path), stop };
}

async function spawnFailure(child: ChildProcess): Promise<Error | undefined> {
  return once(child, 'spawn').then(
    () => undefined,
    (error: Error) => error,
  );
}

async function gone(child: ChildProcess, log: LogLines, origin: { release: Digest; content: Digest; pid: number }): Promise<Exit> {
  const following = Promise.all([
    log.follow('stdout', child.stdout as NonNullable<typeof child.stdout>, origin),
    log.follow('stderr', child.stderr as NonNullable<typeof child.stderr>, origin),
  ]);
  const [code, signal] = (await once(child, 'exit')) as [number | null, string | null];
  // Children that outlive the process would hold its port and its log open. The group's number can't be another's while they live.
  killGroup(origin.pid, 'SIGKILL');
  // One that left the group may still hold the pipes: its output is not waited for.
  const impatience = setTimeout(() => {
    child.stdout?.destroy();
    child.stderr?.destroy();
  }, 1_000);
  await following;
  clearTimeout(impatience);
  await log.close().catch(() => {});
  return { code, signal };
}

async function untilHealthy(port: number, health: Health, exited: Promise<Exit>, log: LogLines, signal?: AbortSignal): Promise<void> {
  const stopped = new AbortController();
  const stop = (): void => stopped.abort();
  const deadline = setTimeout(stop, health.deadlineMs);
  if (signal?.aborted === true) stop();
  signal?.addEventListener('abort', stop);
  let exit: Exit | undefined;
  const watching = exited.then((how) => {
    exit = how;
    stop();
  });
  const healthy = await becomesHealthy(port, health, stopped.signal);
  clearTimeout(deadline);
  signal?.removeEventListener('abort', stop);
  if (healthy && exit === undefined) return;
  // The last lines come with the end of the process: whoever reads the error wants just those.
  if (exit !== undefined) await watching;
  const how = exit as Exit | undefined;
  const what = how === undefined ? `did not become healthy within ${health.deadlineMs} ms` : `ended with ${how.signal ?? how.code} before it was healthy`;
  throw new CairnError('unhealthy', `the process ${what}`, {
    fix: `See the last lines of its log; it must listen on HOST and PORT and answer ${health.path} with 2xx or 3xx`,
    context: { path: health.path, port, exit: how ?? null, lines: [...log.last] },
  });
}

/** Never once the process was reaped: its number may be another's by then. */
function signalGroup(pid: number, child: ChildProcess, signal: NodeJS.Signals): void {
  if (child.exitCode === null && child.signalCode === null) killGroup(pid, signal);
}

function killGroup(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH' && (error as NodeJS.ErrnoException).code !== 'EPERM') throw error;
  }
}
