import { bundleMediaType, logEntry, pae, payloadOf, signEnvelope, type Envelope, type LogEntry } from '#attest';
import { canonicalJson, malformed, parseStrictJson, sha256 } from '#core';
import { generateSigner } from '#sign';
import { ask } from './ask.ts';
import { certificateOf } from './certificate.ts';
import { timestampOf } from './timestamp.ts';
import type { IdentityToken } from './token.ts';

export interface KeylessServices {
  /** Base URL of the certificate authority. */
  readonly fulcio: string;
  /** URL of the timestamp authority. */
  readonly timestamp: string;
  /** Base URL of a Rekor v2 log, such as our own server. */
  readonly log: string;
}

export interface KeylessSigned {
  /** A Sigstore bundle v0.3, as bytes. */
  readonly bundle: Buffer;
  readonly envelope: Envelope;
  readonly entry: LogEntry;
  /** DER. */
  readonly certificate: Buffer;
}

/**
 * Signs a statement as whoever the token says, with a key that lives for this call (sigstore/architecture-docs: client-spec.md
 * section 3): certificate, signature, timestamp, log. The caller verifies the result, by `verifyForeign` and the root it trusts,
 * before it counts on it: these services are others' and may be wrong.
 * @param payload canonical bytes of an in-toto statement
 * @param random eight bytes or more, from the composition root
 */
export async function signKeyless(payload: Buffer, token: IdentityToken, services: KeylessServices, random: Uint8Array): Promise<KeylessSigned> {
  const signer = generateSigner('ecdsa');
  const certificate = await certificateOf(services.fulcio, token, signer);
  const envelope = signEnvelope(payload, signer);
  const signature = Buffer.from(envelope.signatures[0].sig, 'base64');
  const signedTimestamp = await timestampOf(services.timestamp, signature, random);
  const digest = sha256(pae(envelope.payloadType, payloadOf(envelope)));
  const entry = await logged(services.log, digest, signature, certificate);
  const bundle = canonicalJson({
    mediaType: bundleMediaType,
    verificationMaterial: { certificate: { rawBytes: certificate.toString('base64') }, tlogEntries: [entry], timestampVerificationData: { rfc3161Timestamps: [{ signedTimestamp: signedTimestamp.toString('base64') }] } },
    dsseEnvelope: envelope,
  });
  return Object.freeze({ bundle, envelope, entry, certificate });
}

/** sigstore/rekor-tiles: CLIENTS.md. An entry that was there before is answered like a new one. */
async function logged(log: string, digest: Buffer, signature: Buffer, certificate: Buffer): Promise<LogEntry> {
  const verifier = { keyDetails: 'PKIX_ECDSA_P256_SHA_256', x509Certificate: { rawBytes: certificate.toString('base64') } };
  const body = JSON.stringify({ hashedRekordRequestV002: { digest: digest.toString('base64'), signature: { content: signature.toString('base64'), verifier } } });
  const url = `${log.replace(/\/$/, '')}/api/v2/log/entries`;
  const answer = parseStrictJson(await ask({ url, contentType: 'application/json', body }), "the log's answer");
  const entry = logEntry.safeParse(answer);
  if (!entry.success) throw malformed('bundle-malformed', "the log's answer is no entry of Rekor v2", { context: { url } });
  return entry.data;
}
