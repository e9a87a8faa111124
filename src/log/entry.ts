import { CairnError, sha256 } from '#core';

const hashPrefix = Buffer.from([0]);
const largest = 65_535;

/** Who signed, as an entry names it: base64 of a key's SPKI or of a certificate's DER. */
export type EntryVerifier = { readonly publicKey: string } | { readonly x509Certificate: string };

/**
 * The leaf in Rekor v2's one entry type, hashedrekord 0.0.2, in canonical JSON: `digest` and `signature` are base64
 * (sigstore/rekor-tiles: CLIENTS.md). Every value is base64, which JSON escapes nothing of, so that the text is written as it stands.
 */
export function hashedRekord(digest: string, signature: string, verifier: EntryVerifier): Buffer {
  const [name, bytes] = 'publicKey' in verifier ? ['publicKey', verifier.publicKey] : ['x509Certificate', verifier.x509Certificate];
  const body = Buffer.from(
    `{"apiVersion":"0.0.2","kind":"hashedrekord","spec":{"hashedRekordV002":{"data":{"algorithm":"SHA2_256","digest":"${digest}"},` +
      `"signature":{"content":"${signature}","verifier":{"keyDetails":"PKIX_ECDSA_P256_SHA_256","${name}":{"rawBytes":"${bytes}"}}}}}}`,
  );
  if (body.byteLength > largest) throw new CairnError('malformed-document', 'a log entry is larger than 65,535 bytes');
  return body;
}

/**
 * The leaf of a DSSE envelope: the digest is that of its PAE. Verifiers rebuild these bytes from the bundle; one that differs fails.
 */
export function entryBody(paeBytes: Uint8Array, signature: string, spki: Buffer): Buffer {
  return hashedRekord(sha256(paeBytes).toString('base64'), signature, { publicKey: spki.toString('base64') });
}

/** What stands in a leaf for the key `spki` (base64), and for nothing else: no certificate and no signature holds a quote. */
export function keyMark(spki: string): string {
  return `"publicKey":{"rawBytes":"${spki}"}`;
}

/** RFC 6962 section 2.1: SHA-256(0x00 || body). */
export function leafHash(body: Uint8Array): Buffer {
  return sha256(Buffer.concat([hashPrefix, body]));
}
