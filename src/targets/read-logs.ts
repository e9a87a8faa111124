import { open, stat, type FileHandle } from 'node:fs/promises';
import { StringDecoder } from 'node:string_decoder';
import { setTimeout as sleep } from 'node:timers/promises';

/** One line of an application's log, as it stands in the file. */
export interface LogLine {
  /** ISO 8601, UTC. */
  readonly time: string;
  /** `stdout`, `stderr`, or `cairn` for what the log says of itself. */
  readonly stream: string;
  readonly application: string;
  readonly environment: string;
  readonly component: string;
  readonly release: string;
  readonly content: string;
  readonly pid: number;
  readonly line: string;
}

export interface ReadOptions {
  /** Only lines of this time and later. */
  readonly since?: Date;
  /** Only the last so many of those that are there; with `follow`, and all that come. */
  readonly tail?: number;
  /** Goes on with what is written from now on. */
  readonly follow?: boolean;
  /** Ends the reading, without an error. */
  readonly signal?: AbortSignal;
}

const chunk = 64 << 10;
const mostSetAside = 9;
const pollMs = 100;

/**
 * The lines of a log, oldest first, also those that were set aside (`PATH.1` is the newest of them). What is no whole line of the
 * log (one that a full disk or a power cut broke off) is left out. Nobody is asked but the files.
 */
export async function* readLogs(path: string, options: ReadOptions = {}): AsyncGenerator<LogLine> {
  const { since, tail, follow = false, signal } = options;
  const files = await openAll(path);
  try {
    let wanted = tail === undefined ? undefined : Math.max(0, tail);
    const starts: number[] = [];
    // From the newest back, so that a tail reads no more than it needs.
    for (const file of files) {
      const start = wanted === undefined ? { at: 0, lines: 0 } : await startOfLast(file, wanted);
      if (wanted !== undefined) wanted -= start.lines;
      starts.push(start.at);
    }
    const reader = new Reader(since?.toISOString());
    for (let i = files.length - 1; i >= 0 && signal?.aborted !== true; i--) {
      const file = files[i] as FileHandle;
      if (since !== undefined && (await file.stat()).mtime < since && i > 0) continue;
      reader.begin(file, starts[i] ?? 0);
      yield* reader.rest();
    }
    if (!follow) return;
    while (signal?.aborted !== true) {
      yield* reader.rest();
      const next = await newer(path, reader.file);
      for (const file of next) {
        files.push(file);
        // What was written to the former between the reading and its setting aside.
        yield* reader.rest();
        await reader.file?.close();
        reader.begin(file, 0);
      }
      if (next.length === 0) await sleep(pollMs, undefined, signal === undefined ? {} : { signal }).catch(() => {});
    }
  } finally {
    await Promise.all(files.map((file) => file.close()));
  }
}

/** Newest first, in the order in which they are set aside: a file that moves on meanwhile is met twice, and none is missed. */
async function openAll(path: string): Promise<FileHandle[]> {
  const files: FileHandle[] = [];
  const seen = new Set<bigint>();
  for (let i = 0; i <= mostSetAside; i++) {
    const file = await openOr(i === 0 ? path : `${path}.${i}`);
    // A crash while files were set aside leaves a gap.
    if (file === undefined) continue;
    const { ino } = await file.stat({ bigint: true });
    if (seen.has(ino)) await file.close();
    else files.push(file);
    seen.add(ino);
  }
  return files;
}

/** The files that came after the one being read, oldest first. */
async function newer(path: string, current: FileHandle | undefined): Promise<FileHandle[]> {
  const ino = current === undefined ? undefined : (await current.stat({ bigint: true })).ino;
  const now = await stat(path, { bigint: true }).catch(() => undefined);
  if (now === undefined || now.ino === ino) return [];
  const files: FileHandle[] = [];
  let known = false;
  for (const file of await openAll(path)) {
    known ||= (await file.stat({ bigint: true })).ino === ino;
    if (known) await file.close();
    else files.unshift(file);
  }
  return files;
}

async function openOr(path: string): Promise<FileHandle | undefined> {
  return open(path, 'r').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
}

/** Where the last `count` lines of a file begin, and how many there are. */
async function startOfLast(file: FileHandle, count: number): Promise<{ at: number; lines: number }> {
  let end = (await file.stat()).size;
  if (count === 0) return { at: end, lines: 0 };
  const buffer = Buffer.alloc(chunk);
  let ends = 0;
  while (end > 0) {
    const from = Math.max(0, end - chunk);
    const { bytesRead } = await file.read(buffer, 0, end - from, from);
    for (let i = bytesRead - 1; i >= 0; i--) {
      if (buffer[i] !== 10) continue;
      if (ends === count) return { at: from + i + 1, lines: count };
      ends++;
    }
    end = from;
  }
  return { at: 0, lines: ends };
}

class Reader {
  readonly #since: string | undefined;
  readonly #buffer = Buffer.alloc(chunk);
  #decoder = new StringDecoder('utf8');
  #broken = '';
  #at = 0;
  file: FileHandle | undefined;

  constructor(since: string | undefined) {
    this.#since = since;
  }

  begin(file: FileHandle, at: number): void {
    this.file = file;
    this.#at = at;
    this.#broken = '';
    this.#decoder = new StringDecoder('utf8');
  }

  /** To the end that the file has now. A line without an end is kept for the next time. */
  async *rest(): AsyncGenerator<LogLine> {
    while (this.file !== undefined) {
      const { bytesRead } = await this.file.read(this.#buffer, 0, chunk, this.#at);
      if (bytesRead === 0) return;
      this.#at += bytesRead;
      const lines = (this.#broken + this.#decoder.write(this.#buffer.subarray(0, bytesRead))).split('\n');
      this.#broken = lines.pop() ?? '';
      for (const text of lines) {
        const line = parse(text);
        if (line !== undefined && (this.#since === undefined || line.time >= this.#since)) yield line;
      }
    }
  }
}

function parse(text: string): LogLine | undefined {
  try {
    const { time, stream, application, environment, component, release, content, pid, line } = JSON.parse(text) as Partial<Record<keyof LogLine, unknown>>;
    const texts = [time, stream, application, environment, component, release, content, line];
    if (!texts.every((one) => typeof one === 'string') || typeof pid !== 'number') return undefined;
    return { time, stream, application, environment, component, release, content, pid, line } as LogLine;
  } catch {
    return undefined;
  }
}
