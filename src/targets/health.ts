import { get } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

/** When an instance counts as healthy: `threshold` answers of 2xx or 3xx in a row on `path`, within `deadlineMs` of its start. */
export interface Health {
  readonly path: string;
  readonly intervalMs: number;
  readonly threshold: number;
  readonly deadlineMs: number;
}

/** Longest wait for one answer; an instance that needs longer can't serve people either. */
const answerMs = 2_000;

/** One question on a connection of its own, so that a kept one can't speak for a process that is gone. */
export function isHealthy(port: number, path: string, timeoutMs = answerMs): Promise<boolean> {
  return new Promise((resolve) => {
    const request = get({ host: '127.0.0.1', port, path, agent: false, timeout: timeoutMs }, ({ statusCode = 0 }) => {
      resolve(statusCode >= 200 && statusCode < 400);
      request.destroy();
    });
    // `timeout` is of silence; this one is of the whole.
    const timer = setTimeout(() => request.destroy(), timeoutMs);
    request.on('error', () => {});
    request.on('close', () => {
      clearTimeout(timer);
      resolve(false);
    });
  });
}

/** Resolves to whether it became healthy before `stopped`. */
export async function becomesHealthy(port: number, health: Health, stopped: AbortSignal): Promise<boolean> {
  let inARow = 0;
  while (!stopped.aborted) {
    inARow = (await isHealthy(port, health.path)) ? inARow + 1 : 0;
    if (inARow >= health.threshold) return !stopped.aborted;
    await sleep(health.intervalMs, undefined, { signal: stopped }).catch(() => {});
  }
  return false;
}
