import type { Statement } from '#attest';
import { CairnError, type Digest } from '#core';
import type { LogVerifier } from '#log';
import type { SigstoreRoot } from './sigstore-root.ts';

/** Who signed, in the shape of the policy's evidence: a key, or an OpenID Connect identity that a certificate proved. */
export type ForeignSigner = { readonly kind: 'key'; readonly key: string } | { readonly kind: 'identity'; readonly issuer: string; readonly subject: string };

export interface ForeignOptions {
  /** Whose certificates, logs and timestamps are believed. */
  readonly root: SigstoreRoot;
  /** base64 SPKI of the keys that may have signed a bundle without a certificate. */
  readonly keys?: readonly string[];
  /** Our own log: its entries are known by it, and its time counts. */
  readonly ours?: LogVerifier;
}

/** What a bundle of another tool proves. Whether this signer may say this about this digest is for the caller to ask. */
export interface ForeignVerified {
  readonly signer: ForeignSigner;
  readonly content:
    | { readonly kind: 'statement'; readonly statement: Statement; /** Of the DSSE payload's bytes. */ readonly payloadDigest: Digest }
    /** Somebody signed the bytes of this digest and said no more. */
    | { readonly kind: 'signature'; readonly digest: Digest };
  /** Seconds since 1970, oldest first: times at which the signature provably existed, by timestamp authorities and logs. */
  readonly times: readonly number[];
  /** The first log that holds it; null where the root knows no log (GitHub's own). */
  readonly log: { /** base64 of the log's id. */ readonly logId: string; readonly index: number; readonly isOurs: boolean } | null;
}

/**
 * Verifies a Sigstore bundle (v0.1 to v0.3) that another tool wrote, offline, against a trusted root.
 * @throws CairnError `malformed-document` or `verification-failed`, always with `context.reason`
 */
export function verifyForeign(bytes: Uint8Array, options: ForeignOptions): ForeignVerified {
  throw new CairnError('internal', `verifyForeign is not built yet: ${bytes.byteLength} ${options.root.kind}`);
}
