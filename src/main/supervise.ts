import { spawn, type ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { CairnError } from '#core';
import { systemClock } from './system.ts';

const shortestPauseMs = 50;
const longestPauseMs = 5_000;
/** One that ran this long did not fail by starting. */
const settledMs = 10_000;

/** The control server beside the runner: started again whenever it ends, since nothing that runs depends on it. */
export class SupervisedServer {
  readonly #ready = Promise.withResolvers<void>();
  readonly #ended = Promise.withResolvers<void>();
  #child: ChildProcess | undefined;
  #stopping = false;
  #everReady = false;

  constructor() {
    this.#ended.promise.catch(() => {});
  }

  get ready(): Promise<void> {
    return this.#ready.promise;
  }

  /** Resolves when it was stopped; rejects where it never became ready: waiting does not mend that, and it has printed why. */
  get ended(): Promise<void> {
    return this.#ended.promise;
  }

  start(): void {
    this.#launch(0);
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    if (this.#child === undefined) this.#ended.resolve();
    this.#child?.kill('SIGTERM');
    await this.#ended.promise.catch(() => {});
  }

  #launch(pause: number): void {
    const born = systemClock.elapsed();
    // Its standard input is a pipe that we hold: should we be killed, it reads the end of it and stops too.
    const child = spawn(process.execPath, [join(import.meta.dirname, 'server.ts')], { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#child = child;
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      if (!text.split('\n').some((line) => line.startsWith('ready '))) return;
      this.#everReady = true;
      this.#ready.resolve();
    });
    child.once('error', (cause) => this.#gone(new CairnError('unreachable', `the control server can't be started: ${cause.message}`, { cause }), born, pause));
    child.once('exit', (code) => this.#gone(new CairnError('unreachable', `the control server did not start (exit ${code})`, { fix: 'See the line above' }), born, pause));
  }

  #gone(error: CairnError, born: number, pause: number): void {
    this.#child = undefined;
    if (this.#stopping) return this.#ended.resolve();
    if (!this.#everReady) return this.#ended.reject(error);
    const next = systemClock.elapsed() - born > settledMs ? 0 : Math.min(Math.max(pause * 2, shortestPauseMs), longestPauseMs);
    setTimeout(() => {
      if (!this.#stopping) this.#launch(next);
    }, next);
  }
}
