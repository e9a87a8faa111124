import { CairnError, digestOf, shortDigest, type Digest } from '#core';
import { manifestLimit } from './descriptor.ts';
import type { Expected } from './store.ts';

export const readLimit = manifestLimit;

export function absent(digest: Digest): CairnError {
  return new CairnError('not-found', `The store has no content ${digest}`, { context: { digest } });
}

export function checkSize(digest: Digest, size: number, limit: number): void {
  if (size <= limit) return;
  throw new CairnError('malformed-document', `Content ${shortDigest(digest)} has ${size} bytes, more than the ${limit} allowed`);
}

export function checkExpected(actual: Digest, expected: Expected | undefined): void {
  const wanted = typeof expected === 'function' ? expected() : expected;
  if (wanted === undefined || wanted === actual) return;
  throw new CairnError('digest-mismatch', `Content announced as ${wanted} is ${actual}`, { context: { expected: wanted, actual } });
}

export function checkContent(digest: Digest, bytes: Uint8Array): void {
  const actual = digestOf(bytes);
  if (actual === digest) return;
  throw new CairnError('digest-mismatch', `The content stored as ${digest} has changed: it hashes to ${actual}`, {
    fix: 'Push the content again, then find out what wrote to the store',
    context: { expected: digest, actual },
  });
}
