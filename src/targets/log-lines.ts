import type { Readable } from 'node:stream';
import { StringDecoder } from 'node:string_decoder';
import type { Clock, Digest } from '#core';
import { LogFile, type LogLimits } from './log-file.ts';

/** Whose process it is. */
export interface Place {
  readonly application: string;
  readonly environment: string;
  readonly component: string;
}

/** What each line of the log says beside its text. */
export interface LineOrigin extends Place {
  readonly release: Digest;
  readonly content: Digest;
  readonly pid: number;
}

/** Characters; a longer line comes in pieces, each a line of its own. An application that never ends a line costs no more than this. */
const longestLine = 65_536;
const keptLines = 20;
const keptLength = 2_000;

/**
 * A process's output as JSON lines `{time, stream, application, environment, component, release, content, pid, line}`, appended.
 * Backpressure is the pipe's: the next chunk is read when the last one is written. A disk that is full costs lines, which are
 * counted, and never stops the application.
 */
export class LogLines {
  readonly #file: LogFile;
  readonly #clock: Clock;
  readonly #last: string[] = [];

  constructor(path: string, clock: Clock, limits?: LogLimits) {
    this.#file = LogFile.use(path, limits);
    this.#clock = clock;
  }

  /** The last lines of both streams, for the error that says why a process ended. */
  get last(): readonly string[] {
    return this.#last;
  }

  /** Resolves when the stream has ended and all of it is written. */
  async follow(name: 'stdout' | 'stderr', stream: Readable, origin: LineOrigin, seen?: (chunk: Buffer) => void): Promise<void> {
    const decoder = new StringDecoder('utf8');
    let rest = '';
    try {
      for await (const chunk of stream) {
        seen?.(chunk as Buffer);
        const lines = (rest + decoder.write(chunk as Buffer)).split('\n');
        rest = lines.pop() ?? '';
        while (rest.length > longestLine) {
          lines.push(rest.slice(0, longestLine));
          rest = rest.slice(longestLine);
        }
        await this.#write(name, lines, origin);
      }
    } catch {
      // The pipe broke with the process: what came before it counts.
    }
    rest += decoder.end();
    if (rest !== '') await this.#write(name, [rest], origin);
  }

  close(): Promise<void> {
    return this.#file.close();
  }

  async #write(stream: string, lines: readonly string[], origin: LineOrigin): Promise<void> {
    if (lines.length === 0) return;
    const time = this.#clock.now().toISOString();
    const { application, environment, component, release, content, pid } = origin;
    const entry = (from: string, line: string): string =>
      `${JSON.stringify({ time, stream: from, application, environment, component, release, content, pid, line })}\n`;
    let text = '';
    for (const whole of lines) {
      for (let at = 0; at === 0 || at < whole.length; at += longestLine) {
        const line = whole.slice(at, at + longestLine).replace(/\r$/, '');
        text += entry(stream, line);
        this.#last.push(line.slice(0, keptLength));
      }
    }
    this.#last.splice(0, this.#last.length - keptLines);
    await this.#file.append(text, lines.length, (lost) => entry('cairn', `${lost} lines were lost because the log could not be written`));
  }
}
