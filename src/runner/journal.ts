import { open, type FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import { CairnError, canonicalJson, digestOf, ensureDurableDirectory, fsyncDirectory, Mutex, parseCanonicalJson, type Digest } from '#core';
import { journalEntry, type JournalEntry } from './journal-entry.ts';

/** What stands before the first line. */
const nothing: Digest = `sha256:${'0'.repeat(64)}`;
const pageEntries = 1_000;

type Chained = 'sequence' | 'previous';
/** An entry before it has its place: distributes over the kinds. */
export type NewEntry = JournalEntry extends infer Entry ? (Entry extends JournalEntry ? Omit<Entry, Chained> : never) : never;

/**
 * What the data plane did, one line of canonical JSON each, each naming the digest of the one before. Append is write, fdatasync,
 * answer. A crash in between leaves at most a torn last line, which nobody was told of: opening cuts it off. Damage anywhere else
 * is not ours and stops the runner, because the routes it would restore might not be the ones that were acknowledged.
 */
export class Journal {
  readonly #file: FileHandle;
  readonly #path: string;
  readonly #appending = new Mutex();
  /** Where each line begins, by sequence, and at the end where the next one will. Eight bytes an entry. */
  readonly #offsets: number[];
  #last: Digest;
  #broken: CairnError | undefined;

  private constructor(file: FileHandle, path: string, offsets: number[], last: Digest) {
    this.#file = file;
    this.#path = path;
    this.#offsets = offsets;
    this.#last = last;
  }

  /** `each` sees the entries in order. @throws CairnError `storage`, naming the line that is damaged */
  static async open(path: string, each: (entry: JournalEntry) => void): Promise<Journal> {
    await ensureDurableDirectory(dirname(path), 0o700);
    const file = await open(path, 'a+', 0o600);
    try {
      await fsyncDirectory(dirname(path));
      const bytes = await file.readFile();
      const { offsets, last } = replay(bytes, path, each);
      const end = offsets.at(-1) as number;
      if (end < bytes.byteLength) {
        await file.truncate(end);
        await file.datasync();
      }
      return new Journal(file, path, offsets, last);
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  /** Of the last entry; 0 where there is none. */
  get sequence(): number {
    return this.#offsets.length - 1;
  }

  /** Durable when it resolves. @throws CairnError `storage`: the entry is not in the journal */
  append(entry: NewEntry): Promise<JournalEntry> {
    return this.#appending.run(async () => {
      if (this.#broken !== undefined) throw this.#broken;
      const whole = { ...entry, sequence: this.sequence + 1, previous: this.#last } as JournalEntry;
      const line = canonicalJson(whole);
      const start = this.#offsets.at(-1) as number;
      try {
        await this.#file.writeFile(Buffer.concat([line, newline]));
        await this.#sync();
      } catch (cause) {
        const failure = this.#failure('it could not be written', cause);
        // The half line must not stay in front of the next one. If even that fails, nothing more is written before a restart.
        await this.#file.truncate(start).catch(() => (this.#broken ??= failure));
        throw failure;
      }
      this.#offsets.push(start + line.byteLength + 1);
      this.#last = digestOf(line);
      return whole;
    });
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
    return this.#appending.run(() => this.#file.close());
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
    return new CairnError('storage', `the runner's journal ${this.#path}: ${reason}`, {
      fix: 'Make room on the disk or repair it, then restart the runner; applications serve on',
      cause,
    });
  }
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
      if (end + 1 === bytes.byteLength) break;
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
