import { parseStrictJson } from '#core';

/** A TrustedRoot of Sigstore, read and checked. */
export interface SigstoreRoot {
  readonly kind: 'sigstore-root';
  readonly json: unknown;
}

/** @throws CairnError `malformed-document` with a reason */
export function parseSigstoreRoot(bytes: Uint8Array): SigstoreRoot {
  return Object.freeze({ kind: 'sigstore-root', json: parseStrictJson(bytes, 'the trusted root') });
}
