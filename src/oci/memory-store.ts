import { Readable } from 'node:stream';
import { digestOf, type Digest } from '#core';
import { absent, checkContent, checkExpected, checkSize, readLimit } from './store-checks.ts';
import type { ContentStore } from './store.ts';

/** For tests and for small documents: nothing in it survives the process. */
export function memoryStore(): ContentStore {
  const contents = new Map<Digest, Buffer>();
  function find(digest: Digest): Buffer {
    const found = contents.get(digest);
    if (found === undefined) throw absent(digest);
    return found;
  }
  return {
    size: async (digest) => contents.get(digest)?.byteLength,
    async read(digest, limit = readLimit) {
      const bytes = find(digest);
      checkSize(digest, bytes.byteLength, limit);
      checkContent(digest, bytes);
      return Buffer.from(bytes);
    },
    async stream(digest, range) {
      const bytes = find(digest);
      return Readable.from([range === undefined ? bytes : bytes.subarray(range.start, range.end + 1)], { objectMode: false });
    },
    async write(content, expected) {
      const chunks: Uint8Array[] = [];
      if (content instanceof Uint8Array) chunks.push(content);
      else for await (const chunk of content) chunks.push(Buffer.from(chunk));
      const bytes = Buffer.concat(chunks);
      const digest = digestOf(bytes);
      checkExpected(digest, expected);
      contents.set(digest, bytes);
      return { digest, size: bytes.byteLength };
    },
  };
}
