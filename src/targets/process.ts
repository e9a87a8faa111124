import { setTimeout as sleep } from 'node:timers/promises';
import { CairnError } from '#core';
import { releasePort } from './free-port.ts';
import { becomesHealthy, isHealthy, type Health } from './health.ts';
import { listeningUsers } from './listeners.ts';
import { launch, type Exit, type Program, type Running } from './program.ts';

export interface InstanceOptions extends Program {
  /** Taken with `takePort`, so that it is known before the process exists, and given back when the process is gone. null: no PORT and HOST. */
  readonly port: number | null;
  /** null: healthy when it is alive after 200 ms. */
  readonly health: Health | null;
}

export interface Instance {
  readonly pid: number;
  readonly port: number | null;
  /** `http://127.0.0.1:PORT` */
  readonly origin: string | null;
  /** When the process is gone, its children are stopped and its log is written. Never rejects. */
  readonly exited: Promise<Exit>;
  /** Asks for its health once; without one, whether it lives. */
  probe(): Promise<boolean>;
  /** SIGTERM to the process and all its children, SIGKILL after the deadline. Resolves when the process is gone. */
  stop(deadlineMs: number): Promise<void>;
}

const settledMs = 200;

/**
 * Starts one process of a content and waits until it is healthy.
 * @throws CairnError `unhealthy`, with the last lines of its log in the context, the process is stopped then; `digest-mismatch`
 */
export async function startInstance(options: InstanceOptions): Promise<Instance> {
  const { port, health } = options;
  const release = (): void => {
    if (port !== null) releasePort(port);
  };
  const running = await launch(options, port === null ? {} : { PORT: String(port), HOST: '127.0.0.1' }).catch((error: unknown) => {
    release();
    throw error;
  });
  let alive = true;
  const exited = running.exited.finally(() => {
    alive = false;
    release();
  });
  const stop = async (deadlineMs: number): Promise<void> => {
    running.kill('SIGTERM');
    const timer = setTimeout(() => running.kill('SIGKILL'), deadlineMs);
    await exited;
    clearTimeout(timer);
  };
  try {
    await options.spawned?.(running.pid);
    await untilHealthy(running, exited, options);
  } catch (error) {
    await stop(0);
    throw error;
  }
  const probe = async (): Promise<boolean> => (health === null || port === null ? alive : isHealthy(port, health));
  return { pid: running.pid, port, origin: port === null ? null : `http://127.0.0.1:${port}`, exited, probe, stop };
}

async function untilHealthy({ log }: Running, exited: Promise<Exit>, options: InstanceOptions): Promise<void> {
  const { port, health, signal } = options;
  const stopped = new AbortController();
  const stop = (): void => stopped.abort();
  const deadlineMs = health?.deadlineMs ?? settledMs;
  const deadline = health === null ? undefined : setTimeout(stop, deadlineMs);
  if (signal?.aborted === true) stop();
  signal?.addEventListener('abort', stop);
  let exit: Exit | undefined;
  const watching = exited.then((how) => {
    exit = how;
    stop();
  });
  const healthy = health === null || port === null ? await staysAlive(stopped.signal) : await becomesHealthy(port, health, stopped.signal);
  clearTimeout(deadline);
  signal?.removeEventListener('abort', stop);
  if (healthy && exit === undefined) return refuseImpostor(options);
  // The last lines come with the end of the process: whoever reads the error wants just those.
  if (exit !== undefined) await watching;
  const how = exit as Exit | undefined;
  const what = how === undefined ? (signal?.aborted === true ? 'was stopped' : `did not become healthy within ${deadlineMs} ms`) : `${how.how} before it was healthy`;
  throw new CairnError('unhealthy', `the process ${what}`, {
    fix: `See the last lines of its log${asked(health)}`,
    context: { path: health !== null && 'path' in health ? health.path : null, port, exit: how === undefined ? null : { code: how.code, signal: how.signal }, lines: [...log.last] },
  });
}

async function refuseImpostor({ port, confined: { uid } }: InstanceOptions): Promise<void> {
  if (port === null || uid === null) return;
  const others = [...(await listeningUsers(port))].filter((one) => one !== uid);
  if (others.length === 0) return;
  throw new CairnError('unhealthy', `another program listens on the port ${port} that was given to the process`, {
    fix: 'It is started again on another port; find out which application takes ports that are not its own',
    context: { port, users: others },
    retryable: true,
  });
}

function asked(health: Health | null): string {
  if (health === null) return '; it must go on running';
  return `; it must listen on HOST and PORT${'path' in health ? ` and answer ${health.path} with 2xx or 3xx` : ''}`;
}

async function staysAlive(stopped: AbortSignal): Promise<boolean> {
  return sleep(settledMs, true, { signal: stopped }).catch(() => false);
}
