import { verify, type KeyObject } from 'node:crypto';
import { z } from 'zod';
import { CairnError, digestOf, problemsOf, type Digest } from '#core';
import type { Signer } from '#sign';

/** A DSSE envelope with one signature. `keyid` is left out: cosign compares it with an SSH fingerprint and fails on a hint. */
export interface Envelope {
  readonly payload: string;
  readonly payloadType: string;
  readonly signatures: readonly [{ readonly sig: string }];
}

const payloadType = 'application/vnd.in-toto+json';

const base64 = z.string().regex(/^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/);
const schema = z.strictObject({
  payload: base64,
  payloadType: z.literal(payloadType),
  signatures: z.tuple([z.strictObject({ sig: base64, keyid: z.literal('').optional() })]),
});

/** Pre-authentication encoding (secure-systems-lab/dsse: protocol.md): what is signed, so that type and payload cannot be confused. */
export function pae(type: string, payload: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from(`DSSEv1 ${Buffer.byteLength(type)} ${type} ${payload.byteLength} `), payload]);
}

export function signEnvelope(payload: Buffer, signer: Signer): Envelope {
  const sig = signer.sign(pae(payloadType, payload)).toString('base64');
  return { payload: payload.toString('base64'), payloadType, signatures: [{ sig }] };
}

export function payloadOf(envelope: Envelope): Buffer {
  return Buffer.from(envelope.payload, 'base64');
}

/** SHA-256 of the envelope's canonical JSON, `keyid` left out: the name by which statements refer to each other. */
export function envelopeDigest(envelope: Envelope): Digest {
  return digestOf(envelopeBytes(envelope));
}

function envelopeBytes(envelope: Envelope): Buffer {
  const { payload, signatures } = envelope;
  // Canonical JSON as it stands: base64 holds nothing that is escaped, and the names are in order.
  return Buffer.from(`{"payload":"${payload}","payloadType":${JSON.stringify(envelope.payloadType)},"signatures":[{"sig":"${signatures[0].sig}"}]}`);
}

/** @throws CairnError `malformed-document`: exactly one signature, canonical base64, our payload type, nothing else. */
export function parseEnvelope(value: unknown): Envelope {
  const parsed = schema.safeParse(value);
  if (!parsed.success) throw new CairnError('malformed-document', `not a DSSE envelope: ${problemsOf(parsed.error)}`);
  const { payload, signatures } = parsed.data;
  return { payload, payloadType, signatures: [{ sig: signatures[0].sig }] };
}

export function verifyEnvelope(envelope: Envelope, key: KeyObject): boolean {
  // The one kind of key that statements are signed with. Another one would be checked by other rules, or end in a crash.
  if (key.asymmetricKeyType !== 'ec') return false;
  const message = pae(envelope.payloadType, payloadOf(envelope));
  return verify('sha256', message, key, Buffer.from(envelope.signatures[0].sig, 'base64'));
}
