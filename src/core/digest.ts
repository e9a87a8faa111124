import { createHash, hash } from 'node:crypto';
import { CairnError } from './errors.ts';

/** An OCI digest: `sha256:` and 64 lower-case hex digits. No other algorithm is accepted: one form, one meaning. */
export type Digest = `sha256:${string}`;

const form = /^sha256:[0-9a-f]{64}$/;

export function isDigest(text: unknown): text is Digest {
  return typeof text === 'string' && form.test(text);
}

/** @throws CairnError `invalid-digest` unless `text` is exactly a sha256 digest (upper case and white space are refused). */
export function parseDigest(text: unknown): Digest {
  if (isDigest(text)) return text;
  throw new CairnError('invalid-digest', `${JSON.stringify(text)?.slice(0, 100)} is not a sha256 digest`, {
    fix: 'Give the digest as sha256: followed by 64 lower-case hex digits',
  });
}

export function sha256(bytes: Uint8Array | string): Buffer {
  return hash('sha256', bytes, 'buffer');
}

export function digestOf(bytes: Uint8Array | string): Digest {
  return `sha256:${hash('sha256', bytes, 'hex')}`;
}

/** Reads the whole stream; memory is one chunk. */
export async function digestOfStream(stream: AsyncIterable<Uint8Array>): Promise<{ digest: Digest; size: number }> {
  const hasher = createHash('sha256');
  let size = 0;
  for await (const chunk of stream) {
    hasher.update(chunk);
    size += chunk.byteLength;
  }
  return { digest: `sha256:${hasher.digest('hex')}`, size };
}

/** The first 12 hex digits: the one short form that people are shown. */
export function shortDigest(digest: Digest): string {
  return digest.slice(7, 19);
}
