import { mkdir, open, rename, type FileHandle } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { Mutex } from '#core';

export interface LogLimits {
  /** A file that has reached it is set aside. */
  readonly bytes: number;
  /** How many that were set aside are kept: `PATH.1`, the newest, to `PATH.4`. */
  readonly kept: number;
}

const usualLogLimits: LogLimits = { bytes: 16 * 2 ** 20, kept: 4 };

const inUse = new Map<string, LogFile>();

/**
 * A file of lines that several instances append to at once and that is set aside when it is large; one a path in this process, so
 * that two never set it aside at once. It never fails: lines that can't be written (the disk is full) are counted, and the count is
 * written when that works again.
 */
export class LogFile {
  readonly #path: string;
  readonly #limits: LogLimits;
  readonly #writing = new Mutex();
  #users = 0;
  #file: FileHandle | undefined;
  #size = 0;
  /** What an append that broke off left of a line is ended before the next. */
  #torn = false;
  #lost = 0;

  private constructor(path: string, limits: LogLimits) {
    this.#path = path;
    this.#limits = limits;
  }

  /** Each `use` is ended with a `close`. */
  static use(path: string, limits: LogLimits = usualLogLimits): LogFile {
    const absolute = resolve(path);
    const file = inUse.get(absolute) ?? new LogFile(absolute, limits);
    inUse.set(absolute, file);
    file.#users++;
    return file;
  }

  /** `lines` is whole lines, `count` of them; `notice` makes the line that says how many were lost before. */
  append(lines: string, count: number, notice: (lost: number) => string): Promise<void> {
    return this.#writing.run(async () => {
      try {
        const file = await this.#withRoom();
        const text = `${this.#torn ? '\n' : ''}${this.#lost > 0 ? notice(this.#lost) : ''}${lines}`;
        await file.appendFile(text);
        this.#size += Buffer.byteLength(text);
        this.#torn = false;
        this.#lost = 0;
      } catch {
        this.#torn = this.#file !== undefined;
        this.#lost += count;
      }
    });
  }

  close(): Promise<void> {
    if (--this.#users === 0) inUse.delete(this.#path);
    return this.#writing.run(async () => {
      if (this.#users > 0) return;
      await this.#file?.close();
      this.#file = undefined;
    });
  }

  async #open(): Promise<FileHandle> {
    // Applications print secrets: only the owner reads what they print.
    await mkdir(dirname(this.#path), { recursive: true, mode: 0o700 });
    const file = await open(this.#path, 'a+', 0o600);
    this.#size = (await file.stat()).size;
    // A power cut, or a process that was killed.
    const last = this.#size === 0 ? undefined : await file.read(Buffer.alloc(1), 0, 1, this.#size - 1);
    this.#torn = last !== undefined && last.buffer[0] !== 10;
    return file;
  }

  /** A crash in between leaves a gap in the numbers, which nobody minds. Where names can't be changed, the file grows on. */
  async #withRoom(): Promise<FileHandle> {
    const file = (this.#file ??= await this.#open());
    if (this.#size < this.#limits.bytes) return file;
    for (let i = this.#limits.kept - 1; i >= 1; i--) await rename(`${this.#path}.${i}`, `${this.#path}.${i + 1}`).catch(() => {});
    const aside = await rename(this.#path, `${this.#path}.1`).then(() => true, () => false);
    if (!aside) return file;
    this.#file = undefined;
    await file.close().catch(() => {});
    return (this.#file = await this.#open());
  }
}
