import { CairnError } from '#core';
import { launch, type Exit, type Program } from './program.ts';

export interface RunOptions extends Program {
  readonly timeoutMs: number;
}

export interface RunResult extends Exit {
  readonly timedOut: boolean;
  /** The last 20 of both streams. */
  readonly lines: readonly string[];
  /** The last 64 KiB of it. */
  readonly stdout: string;
  readonly milliseconds: number;
}

const keptBytes = 64 << 10;
/** Between SIGTERM and SIGKILL: to roll back what is half done. */
const graceMs = 1_000;

/**
 * Runs a command of a content to its end: a task, a cron's turn, the question for the schema. What it started is killed with it; one
 * that takes too long, or is told to stop, gets SIGTERM and a second later SIGKILL. A command that does not exist ends with 127.
 * @throws CairnError `digest-mismatch`
 */
export async function runOnce(options: RunOptions): Promise<RunResult> {
  const { clock, signal, timeoutMs } = options;
  const started = clock.elapsed();
  const chunks: Buffer[] = [];
  let bytes = 0;
  const keep = (chunk: Buffer): void => {
    chunks.push(chunk);
    bytes += chunk.byteLength;
    while (bytes - (chunks[0]?.byteLength ?? 0) >= keptBytes) bytes -= chunks.shift()?.byteLength ?? 0;
  };
  const result = (exit: Exit, timedOut: boolean, lines: readonly string[]): RunResult => {
    const stdout = Buffer.concat(chunks).subarray(-keptBytes).toString('utf8');
    return { ...exit, timedOut, lines: [...lines], stdout, milliseconds: Math.round(clock.elapsed() - started) };
  };

  let running;
  try {
    running = await launch(options, {}, keep);
  } catch (error) {
    if (!(error instanceof CairnError && error.code === 'unhealthy')) throw error;
    return result({ code: 127, signal: null, how: error.message }, false, [error.message]);
  }
  const { kill, exited, log } = running;
  let timedOut = false;
  let last: NodeJS.Timeout | undefined;
  const end = (): void => {
    kill('SIGTERM');
    last ??= setTimeout(() => kill('SIGKILL'), graceMs);
  };
  const timer = setTimeout(() => {
    timedOut = true;
    end();
  }, timeoutMs);
  try {
    if (signal?.aborted === true) end();
    signal?.addEventListener('abort', end);
    await options.spawned?.(running.pid).catch((error: unknown) => {
      kill('SIGKILL');
      throw error;
    });
    const exit = await exited;
    return result(timedOut ? { ...exit, how: `did not end within ${timeoutMs} ms and was stopped` } : exit, timedOut, log.last);
  } finally {
    signal?.removeEventListener('abort', end);
    clearTimeout(timer);
    await exited;
    clearTimeout(last);
  }
}
