import { get } from 'node:http';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

interface Timing {
  readonly intervalMs: number;
  /** So many in a row. */
  readonly threshold: number;
  /** From the start of the process. */
  readonly deadlineMs: number;
}

/** When an instance counts as healthy: it answers `path` with 2xx or 3xx, or takes a connection. */
export type Health = ({ readonly path: string } | { readonly tcp: true }) & Timing;

/** Longest wait for one answer; an instance that needs longer can't serve people either. */
const answerMs = 2_000;

/** One question on a connection of its own, so that a kept one can't speak for a process that is gone. */
export function isHealthy(port: number, health: { readonly path: string } | { readonly tcp: true }, timeoutMs = answerMs): Promise<boolean> {
  return 'path' in health ? answers(port, health.path, timeoutMs) : listens(port, timeoutMs);
}

function answers(port: number, path: string, timeoutMs: number): Promise<boolean> {
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

function listens(port: number, timeoutMs: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port });
    socket.setTimeout(timeoutMs, () => socket.destroy());
    socket.on('connect', () => {
      resolve(true);
      socket.destroy();
    });
    socket.on('error', () => {});
    socket.on('close', () => resolve(false));
  });
}

/** Resolves to whether it became healthy before `stopped`. */
export async function becomesHealthy(port: number, health: Health, stopped: AbortSignal): Promise<boolean> {
  let inARow = 0;
  while (!stopped.aborted) {
    inARow = (await isHealthy(port, health)) ? inARow + 1 : 0;
    if (inARow >= health.threshold) return !stopped.aborted;
    await sleep(health.intervalMs, undefined, { signal: stopped }).catch(() => {});
  }
  return false;
}
