import { open, mkdir, type FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Readable } from 'node:stream';
import { StringDecoder } from 'node:string_decoder';
import { Mutex, type Clock, type Digest } from '#core';

/** What each line of the log says beside its text. */
export interface LineOrigin {
  readonly release: Digest;
  readonly content: Digest;
  readonly pid: number;
}

/** Characters; a longer line comes in pieces, each a line of its own. An application that never ends a line costs no more than this. */
const longestLine = 65_536;
const keptLines = 20;
const keptLength = 2_000;

/**
 * An instance's output as JSON lines `{time, stream, release, content, pid, line}`, appended. Backpressure is the pipe's: the next
 * chunk is read when the last one is written. A disk that is full costs lines, which are counted, and never stops the application.
 */
export class LogLines {
  readonly #file: FileHandle;
  readonly #clock: Clock;
  readonly #writing = new Mutex();
  readonly #last: string[] = [];
  #lost = 0;

  private constructor(file: FileHandle, clock: Clock) {
    this.#file = file;
    this.#clock = clock;
  }

  static async open(path: string, clock: Clock): Promise<LogLines> {
    // Applications print secrets: only the owner reads what they print.
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    return new LogLines(await open(path, 'a', 0o600), clock);
  }

  /** The last lines of both streams, for the error that says why an instance did not come up. */
  get last(): readonly string[] {
    return this.#last;
  }

  /** Resolves when the stream has ended and all of it is written. */
  async follow(name: 'stdout' | 'stderr', stream: Readable, origin: LineOrigin): Promise<void> {
    const decoder = new StringDecoder('utf8');
    let rest = '';
    try {
      for await (const chunk of stream) {
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
    return this.#writing.run(() => this.#file.close());
  }

  async #write(stream: string, lines: readonly string[], origin: LineOrigin): Promise<void> {
    if (lines.length === 0) return;
    const time = this.#clock.now().toISOString();
    let text = '';
    for (const whole of lines) {
      for (let at = 0; at === 0 || at < whole.length; at += longestLine) {
        const line = whole.slice(at, at + longestLine).replace(/\r$/, '');
        text += `${JSON.stringify({ time, stream, ...origin, line })}\n`;
        this.#last.push(line.slice(0, keptLength));
      }
    }
    this.#last.splice(0, this.#last.length - keptLines);
    await this.#writing.run(async () => {
      try {
        if (this.#lost > 0) {
          const line = `${this.#lost} lines were lost because the log could not be written`;
          text = `${JSON.stringify({ time, stream: 'cairn', ...origin, line })}\n${text}`;
        }
        await this.#file.appendFile(text);
        this.#lost = 0;
      } catch {
        this.#lost += lines.length;
      }
    });
  }
}
