import { X509Certificate } from 'node:crypto';
import { CairnError } from '#core';
import { p256Point, spkiOf, verifyDigest } from '#sign';
import { hashedRekord, type EntryVerifier } from './entry.ts';

// Rekor v2's one write (sigstore/rekor-tiles: api/proto/rekor/v2/entry.proto, internal/server/service.go). Whoever can reach the
// port may ask for it, and signs with whatever key: an entry says only that the key signed the digest.

export interface RekorEntry {
  /** The leaf. */
  readonly body: Buffer;
  /** base64 SPKI of the key that signed, also where the request has a certificate. */
  readonly key: string;
}

const request = 'hashedRekordRequestV002';
const keyDetails = 'PKIX_ECDSA_P256_SHA_256';

/**
 * Reads a request, and checks its signature: an unsigned line in the log would speak for a key that said nothing.
 * @throws CairnError `malformed-document` where it is no such request, `verification-failed` where the signature is another's
 */
export function readRekorRequest(value: unknown): RekorEntry {
  const outer = fields(value, 'the request', [request]);
  const { digest, signature } = fields(outer[request], request, ['digest', 'signature']);
  const { content, verifier } = fields(signature, 'signature', ['content', 'verifier']);
  const by = fields(verifier, 'verifier', ['publicKey', 'x509Certificate', 'keyDetails'], ['publicKey', 'x509Certificate']);
  // Ed25519 keys are sent as PKIX_ED25519_PH with a 64-byte digest; nobody could check one from the digest alone.
  if (by['keyDetails'] !== keyDetails) refuse(`keyDetails must be ${keyDetails}`);
  const hash = bytes(digest, 'digest', 32);
  if (hash.byteLength !== 32) refuse('digest must be 32 bytes: SHA-256');
  const signed = bytes(content, 'signature.content', 80);
  const { spki, named } = verifierOf(by['publicKey'], by['x509Certificate']);
  if (!verifyDigest(hash, signed, spki)) throw new CairnError('verification-failed', 'the signature is not of this digest by this key', { context: { reason: 'signature-invalid' } });
  return { body: hashedRekord(hash.toString('base64'), signed.toString('base64'), named), key: spki.toString('base64') };
}

function verifierOf(publicKey: unknown, certificate: unknown): { spki: Buffer; named: EntryVerifier } {
  if ((publicKey === undefined) === (certificate === undefined)) refuse('verifier needs one of publicKey and x509Certificate');
  const holder = fields(publicKey ?? certificate, 'the verifier', ['rawBytes']);
  const raw = bytes(holder['rawBytes'], 'rawBytes', 8192);
  const spki = publicKey === undefined ? spkiOfCertificate(raw) : raw;
  if (p256Point(spki) === undefined) refuse('the key must be ECDSA P-256, uncompressed');
  const text = raw.toString('base64');
  return { spki, named: publicKey === undefined ? { x509Certificate: text } : { publicKey: text } };
}

function spkiOfCertificate(der: Buffer): Buffer {
  try {
    const certificate = new X509Certificate(der);
    // PEM is read too, and bytes after the end: what is logged must be what everybody reads.
    if (certificate.raw.equals(der)) return spkiOf(certificate.publicKey);
  } catch (cause) {
    throw new CairnError('malformed-document', 'x509Certificate is no certificate in DER', { cause });
  }
  return refuse('x509Certificate is more than one certificate in DER');
}

/** An object with these fields and no others; all of them but the optional ones. */
function fields(value: unknown, what: string, names: readonly string[], optional: readonly string[] = []): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return refuse(`${what} is not an object`);
  const unknown = Object.keys(value).find((name) => !names.includes(name));
  if (unknown !== undefined) refuse(`${what} has a field that is not known: ${unknown.slice(0, 64)}`);
  const missing = names.find((name) => !optional.includes(name) && !Object.hasOwn(value, name));
  if (missing !== undefined) refuse(`${what} lacks ${missing}`);
  return value as Record<string, unknown>;
}

/** Standard base64 with its padding, and in its one form: two texts for the same bytes would be two leaves for one signature. */
function bytes(value: unknown, what: string, limit: number): Buffer {
  if (typeof value !== 'string' || value === '' || value.length > limit * 1.4 + 4) return refuse(`${what} is no base64 of up to ${limit} bytes`);
  const read = Buffer.from(value, 'base64');
  return read.toString('base64') === value ? read : refuse(`${what} is not canonical base64`);
}

function refuse(why: string): never {
  throw new CairnError('malformed-document', `not a request that is logged here: ${why}`);
}
