import { CairnError, canonicalJson, sha256 } from '#core';

const hashPrefix = Buffer.from([0]);

/**
 * The leaf of a DSSE envelope in Rekor v2's one entry type, hashedrekord 0.0.2: the digest is that of the envelope's PAE
 * (sigstore/rekor-tiles: CLIENTS.md). Verifiers rebuild these bytes from the bundle; one that differs fails.
 */
export function entryBody(paeBytes: Uint8Array, signature: string, spki: Buffer): Buffer {
  const body = canonicalJson({
    apiVersion: '0.0.2',
    kind: 'hashedrekord',
    spec: {
      hashedRekordV002: {
        data: { algorithm: 'SHA2_256', digest: sha256(paeBytes).toString('base64') },
        signature: { content: signature, verifier: { keyDetails: 'PKIX_ECDSA_P256_SHA_256', publicKey: { rawBytes: spki.toString('base64') } } },
      },
    },
  });
  if (body.byteLength > 65_535) throw new CairnError('malformed-document', 'a log entry is larger than 65,535 bytes');
  return body;
}

/** RFC 6962 section 2.1: SHA-256(0x00 || body). */
export function leafHash(body: Uint8Array): Buffer {
  return sha256(Buffer.concat([hashPrefix, body]));
}
