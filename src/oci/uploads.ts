import { randomUUID } from 'node:crypto';
import { PassThrough } from 'node:stream';
import { CairnError, type Digest } from '#core';
import type { ContentStore } from './store.ts';
import { WireError } from './wire-errors.ts';

export interface UploadLimits {
  /** Uploads under way at once; strangers may begin them for nothing, each holds a file open. */
  readonly sessions: number;
  /** After so long without a byte an upload is given up. */
  readonly idleMilliseconds: number;
}

/**
 * Uploads under way. Each is one write into the store that waits for its next chunk, so that memory is one chunk an upload and
 * nothing is ever copied. A restart forgets them: clients meet 404 and begin again, as distribution-spec lets them.
 */
export class Uploads {
  readonly #store: ContentStore;
  readonly #limits: UploadLimits;
  readonly #open = new Map<string, Upload>();

  constructor(store: ContentStore, limits: UploadLimits) {
    this.#store = store;
    this.#limits = limits;
  }

  begin(name: string): Upload {
    if (this.#open.size >= this.#limits.sessions) throw new WireError(429, 'TOOMANYREQUESTS', 'Too many uploads are under way');
    const upload: Upload = new Upload(name, this.#store, this.#limits.idleMilliseconds, () => this.#open.delete(upload.id));
    this.#open.set(upload.id, upload);
    return upload;
  }

  find(name: string, id: string): Upload {
    const upload = this.#open.get(id);
    if (upload?.name === name) return upload;
    throw new WireError(404, 'BLOB_UPLOAD_UNKNOWN', 'There is no such upload; begin again');
  }
}

export class Upload {
  readonly id = randomUUID();
  readonly name: string;
  /** Bytes received; the next chunk starts here. */
  offset = 0;
  readonly #pipe = new PassThrough();
  readonly #written: Promise<{ digest: Digest; size: number }>;
  readonly #idle: NodeJS.Timeout;
  readonly #forget: () => void;
  #expected: Digest | undefined;
  #busy = false;

  constructor(name: string, store: ContentStore, idleMilliseconds: number, forget: () => void) {
    this.name = name;
    this.#forget = forget;
    this.#written = store.write(this.#pipe, () => this.#wanted());
    this.#written.catch(() => this.abandon());
    // The store reports what broke; without a listener the pipe's own error would end the process.
    this.#pipe.on('error', () => {});
    this.#idle = setTimeout(() => this.abandon(), idleMilliseconds).unref();
  }

  /** @param range the request's Content-Range; a chunk that does not start where the last one ended is refused unread. */
  async append(body: AsyncIterable<Uint8Array>, range?: string, length?: number): Promise<void> {
    await this.#alone(() => this.#take(body, range, length));
  }

  /** Takes the last bytes, if any, and keeps the content if it is what the client says it is. */
  async finish(body: AsyncIterable<Uint8Array>, digest: Digest, range?: string, length?: number): Promise<void> {
    await this.#alone(async () => {
      await this.#take(body, range, length);
      this.#expected = digest;
      this.#pipe.end();
      try {
        await this.#written;
      } finally {
        this.#close();
      }
    });
  }

  abandon(): void {
    this.#pipe.destroy(new WireError(404, 'BLOB_UPLOAD_UNKNOWN', 'The upload was given up; begin again'));
    this.#close();
  }

  async #take(body: AsyncIterable<Uint8Array>, range: string | undefined, length: number | undefined): Promise<void> {
    const promised = this.#checkRange(range, length);
    const start = this.offset;
    for await (const chunk of body) {
      await this.#push(chunk);
      this.offset += chunk.byteLength;
      this.#idle.refresh();
    }
    if (promised === undefined || this.offset - start === promised) return;
    this.abandon();
    throw new WireError(400, 'SIZE_INVALID', `The chunk has ${this.offset - start} bytes; its Content-Range says ${promised}`);
  }

  #checkRange(range: string | undefined, length: number | undefined): number | undefined {
    if (range === undefined) return undefined;
    const [, first, last] = /^(?:bytes )?(\d{1,15})-(\d{1,15})(?:\/\*)?$/.exec(range) ?? [];
    const promised = Number(last) - Number(first) + 1;
    if (first === undefined || Number(first) !== this.offset) {
      throw new WireError(416, 'BLOB_UPLOAD_INVALID', `The next chunk starts at byte ${this.offset}`, { Range: rangeOf(this) });
    }
    if (length !== undefined && length !== promised) {
      throw new WireError(400, 'SIZE_INVALID', `Content-Range says ${promised} bytes, Content-Length ${length}`);
    }
    return promised;
  }

  /** Returns when the store has taken the chunk: this is what holds a fast client back. */
  async #push(chunk: Uint8Array): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      // A pipe that is destroyed never calls back for the chunk it holds: without this the client would wait for ever.
      const closed = (): void => reject(new CairnError('internal', 'The store stopped reading'));
      this.#pipe.once('close', closed);
      this.#pipe.write(chunk, (error) => {
        this.#pipe.off('close', closed);
        if (error) reject(error);
        else resolve();
      });
    }).catch(async (error: unknown) => {
      await this.#written; // Throws why the store stopped reading.
      throw error;
    });
  }

  /** Two requests that feed one upload would mix their bytes. */
  async #alone(task: () => Promise<void>): Promise<void> {
    if (this.#busy) throw new WireError(409, 'BLOB_UPLOAD_INVALID', 'Another request is feeding this upload');
    this.#busy = true;
    try {
      await task();
    } finally {
      this.#busy = false;
    }
  }

  #wanted(): Digest {
    if (this.#expected === undefined) throw new CairnError('internal', 'An upload ended without a digest');
    return this.#expected;
  }

  #close(): void {
    clearTimeout(this.#idle);
    this.#forget();
  }
}

/** The bytes received, as the Range header tells them: both ends included, thus none at all reads as the first one too. */
export function rangeOf(upload: Upload): string {
  return `0-${Math.max(upload.offset - 1, 0)}`;
}
