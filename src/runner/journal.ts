import { constants } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import { CairnError, canonicalJson, digestOf, ensureDurableDirectory, fsyncDirectory, Mutex, parseCanonicalJson, type Digest } from '#core';
import { journalEntry, type JournalEntry } from './journal-entry.ts';
import { isFull } from './storage-error.ts';

/** What stands before the first line. */
const nothing: Digest = `sha256:${'0'.repeat(64)}`;
const pageEntries = 1_000;
/** Room for some two hundred entries, and how much of it is used up before there is more. */
const reservedBytes = 128 << 10;
const lowWater = reservedBytes / 2;

type Chained = 'sequence' | 'previous';
/** An entry before it has its place: distributes over the kinds. */
export type NewEntry = JournalEntry extends infer Entry ? (Entry extends JournalEntry ? Omit<Entry, Chained> : never) : never;

/**
 * What the data plane did, one line of canonical JSON each, each naming the digest of the one before. Append is write, fdatasync,
 * answer. A crash in between leaves at most a torn last line, which nobody was told of: opening wipes it. Damage anywhere else
 * is not ours and stops the runner, because the routes it would restore might not be the ones that were acknowledged.
 *
 * Behind the last line stand zeros that were written beforehand, and lines are written over them: a disk that is full does not
 * keep a switch or a way back from being written, and a write that changes no size is quicker to make durable.
 */
export class Journal {
  readonly #file: FileHandle;
  readonly #path: string;
  readonly #appending = new Mutex();
  /** Where each line begins, by sequence, and at the end where the next one will. Eight bytes an entry. */
  readonly #offsets: number[];
  /** Bytes of the file: lines and zeros. */
  #size: number;
  #last: Digest;
  #broken: CairnError | undefined;
  #closed = false;

  private constructor(file: FileHandle, path: string, size: number, offsets: number[], last: Digest) {
    this.#file = file;
    this.#path = path;
    this.#size = size;
    this.#offsets = offsets;
    this.#last = last;
  }

  /** `each` sees the entries in order. @throws CairnError `storage`, naming the line that is damaged */
  static async open(path: string, each: (entry: JournalEntry) => void): Promise<Journal> {
    await ensureDurableDirectory(dirname(path), 0o700);
    const file = await open(path, constants.O_RDWR | constants.O_CREAT, 0o600);
    try {
      await fsyncDirectory(dirname(path));
      const bytes = await file.readFile();
      const { offsets, last } = replay(bytes, path, each);
      const end = offsets.at(-1) as number;
      // Zeros, not a shorter file: what was reserved stays reserved, however full the disk is by now.
      if (!isBlank(bytes, end)) {
        await writeAll(file, Buffer.alloc(bytes.byteLength - end), end);
        await file.datasync();
      }
      const journal = new Journal(file, path, bytes.byteLength, offsets, last);
      await journal.#reserve();
      return journal;
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  /** Of the last entry; 0 where there is none. */
  get sequence(): number {
    return this.#offsets.length - 1;
  }

  /** Durable when it resolves. @throws CairnError `storage`, `storage-full`: the entry is not in the journal */
  append(entry: NewEntry): Promise<JournalEntry> {
    const appended = this.#appending.run(async () => {
      if (this.#broken !== undefined) throw this.#broken;
      const whole = { ...entry, sequence: this.sequence + 1, previous: this.#last } as JournalEntry;
      const line = Buffer.concat([canonicalJson(whole), newline]);
      const start = this.#offsets.at(-1) as number;
      try {
        await writeAll(this.#file, line, start);
        await this.#sync();
      } catch (cause) {
        const failure = this.#failure('it could not be written', cause);
        // The half line must not stay in front of the next one. If even that fails, nothing more is written before a restart.
        await this.#wipe(start, line.byteLength).catch(() => (this.#broken ??= failure));
        throw failure;
      }
      this.#offsets.push(start + line.byteLength);
      this.#size = Math.max(this.#size, start + line.byteLength);
      this.#last = digestOf(line.subarray(0, -1));
      return whole;
    });
    // After the answer; without room nothing happens, and the next append asks again.
    void appended.then(() => this.#appending.run(() => this.#reserve())).catch(() => {});
    return appended;
  }

  /** Entries after a sequence number, at most a thousand. */
  async read(afterSequence: number): Promise<JournalEntry[]> {
    const first = Math.min(Math.max(afterSequence, 0), this.sequence);
    const start = this.#offsets[first] as number;
    const end = this.#offsets[Math.min(first + pageEntries, this.sequence)] as number;
    if (start === end) return [];
    const bytes = Buffer.alloc(end - start);
    const { bytesRead } = await this.#file.read(bytes, 0, bytes.byteLength, start);
    if (bytesRead !== bytes.byteLength) throw this.#failure('it is shorter than what was written to it');
    return bytes.toString('utf8').trimEnd().split('\n').map((line) => JSON.parse(line) as JournalEntry);
  }

  close(): Promise<void> {
    return this.#appending.run(async () => {
      if (this.#closed) return;
      this.#closed = true;
      await this.#file.close();
    });
  }

  async #reserve(): Promise<void> {
    const end = this.#offsets.at(-1) as number;
    if (this.#closed || this.#broken !== undefined || this.#size - end >= lowWater) return;
    const size = end + reservedBytes;
    try {
      // What fits is kept too.
      await writeAll(this.#file, Buffer.alloc(size - this.#size), this.#size, (written) => (this.#size += written));
      await this.#file.datasync();
    } catch {
      // A full disk: what is reserved already has to last.
    }
  }

  /** A line that was refused leaves no byte behind it. */
  async #wipe(start: number, length: number): Promise<void> {
    if (start >= this.#size) await this.#file.truncate(start);
    else await writeAll(this.#file, Buffer.alloc(Math.min(length, this.#size - start)), start);
    if (start < this.#size && start + length > this.#size) await this.#file.truncate(this.#size);
  }

  async #sync(): Promise<void> {
    try {
      await this.#file.datasync();
    } catch (cause) {
      // After a failed fdatasync the kernel may call the lost pages clean: asking again proves nothing.
      this.#broken = this.#failure('the disk did not confirm a write', cause);
      throw cause;
    }
  }

  #failure(reason: string, cause?: unknown): CairnError {
    const full = isFull(cause);
    return new CairnError(full ? 'storage-full' : 'storage', `the runner's journal ${this.#path}: ${full ? 'the disk is full, and so is what was reserved' : reason}`, {
      fix: full ? 'Make room on the disk, then do it again; applications serve on' : 'Repair the disk, then restart the runner; applications serve on',
      cause,
    });
  }
}

/** A write may write less than it was asked to: the next one says why. */
async function writeAll(file: FileHandle, bytes: Buffer, start: number, wrote: (bytes: number) => void = () => {}): Promise<void> {
  for (let done = 0; done < bytes.byteLength; ) {
    const { bytesWritten } = await file.write(bytes, done, bytes.byteLength - done, start + done);
    done += bytesWritten;
    wrote(bytesWritten);
  }
}

function isBlank(bytes: Buffer, from: number): boolean {
  for (let at = from; at < bytes.byteLength; at++) if (bytes[at] !== 0) return false;
  return true;
}

const newline = Buffer.from('\n');

function replay(bytes: Buffer, path: string, each: (entry: JournalEntry) => void): { offsets: number[]; last: Digest } {
  const offsets = [0];
  let last = nothing;
  for (let start = 0; start < bytes.byteLength; ) {
    const end = bytes.indexOf(10, start);
    if (end === -1) break;
    const line = bytes.subarray(start, end);
    const number = offsets.length;
    const entry = parseLine(line);
    if (entry === undefined) {
      if (isBlank(bytes, end + 1)) break;
      throw damaged(path, number, 'is no entry');
    }
    // A torn write can't make a whole line that names a wrong one before it: here the line before was changed.
    if (entry.previous !== last) throw damaged(path, Math.max(number - 1, 1), 'was changed after it was written');
    if (entry.sequence !== number) throw damaged(path, number, `has the sequence number ${entry.sequence}`);
    each(entry);
    last = digestOf(line);
    start = end + 1;
    offsets.push(start);
  }
  return { offsets, last };
}

function parseLine(line: Buffer): JournalEntry | undefined {
  try {
    return journalEntry.parse(parseCanonicalJson(line, 'the line'));
  } catch {
    return undefined;
  }
}

function damaged(path: string, line: number, what: string): CairnError {
  return new CairnError('storage', `line ${line} of the runner's journal ${path} ${what}`, {
    fix: `Restore ${path} from a backup; the server's ledger holds a copy of every entry that it has read`,
    context: { path, line },
  });
}
