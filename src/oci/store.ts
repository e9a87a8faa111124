import type { Readable } from 'node:stream';
import type { Digest } from '#core';

/** What a digest may be asked for at the end of a write: an uploader names it only after its last chunk. */
export type Expected = Digest | (() => Digest);

/**
 * Bytes by their digest.
 *
 * Durability: when `write` returns, the content survives a power cut; before, nothing of it can be seen under any digest.
 * Consistency: content never changes under a digest; a write is seen by every read that starts after it returned.
 * Concurrency: any number of calls from any number of processes; two writers of one content both succeed.
 * Memory: one chunk, except for `read`. Who retries: the caller; a write that failed left nothing behind.
 */
export interface ContentStore {
  /** In bytes; `undefined` where there is no such content. */
  size(digest: Digest): Promise<number | undefined>;
  /**
   * The whole content, hashed again: a disk may rot, and an intruder may have been at it.
   * @param limit in bytes, 4 MiB unless given; larger content is refused before it is read
   * @throws CairnError `not-found`, `digest-mismatch`, `malformed-document` (larger than `limit`)
   */
  read(digest: Digest, limit?: number): Promise<Buffer>;
  /**
   * NOT verified, as the end would come too late: whoever takes the bytes to use them hashes them.
   * @param range first and last byte, both included
   * @throws CairnError `not-found`
   */
  stream(digest: Digest, range?: ByteRange): Promise<Readable>;
  /**
   * Keeps the content under its hash; for content that is there already a no-op.
   * @param expected where given, other content is refused and not kept
   * @throws CairnError `digest-mismatch`; whatever `content` throws
   */
  write(content: Uint8Array | AsyncIterable<Uint8Array>, expected?: Expected): Promise<{ digest: Digest; size: number }>;
}

export interface ByteRange {
  readonly start: number;
  readonly end: number;
}
