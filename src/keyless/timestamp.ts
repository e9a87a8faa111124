import { createRequire } from 'node:module';
import type * as core from '@sigstore/core';
import { malformed, sha256 } from '#core';
import { ask } from './ask.ts';

// RFC 3161, section 2.4. The request is forty bytes around a digest, written as they stand.

const algorithm = Buffer.from('300d06096086480165030402010500', 'hex'); // SHA-256, with its NULL

/** `nonce`: eight bytes, the first of them from 0x01 to 0x7f (a positive INTEGER in its one form). */
export function timestampQuery(signature: Uint8Array, nonce: Uint8Array): Buffer {
  const imprint = der(0x30, algorithm, der(0x04, sha256(signature)));
  return der(0x30, der(0x02, Buffer.from([1])), imprint, der(0x02, nonce), der(0x01, Buffer.from([0xff])));
}

/**
 * The authority's word that the signature existed at this time. The imprint is of the signature's raw bytes, and the whole response
 * is kept, as verifiers want it. Who vouches for the authority is for them; here it must be an answer to this question.
 * @param url the authority's own, such as `https://timestamp.example/api/v1/timestamp`
 */
export async function timestampOf(url: string, signature: Uint8Array, random: Uint8Array): Promise<Buffer> {
  const nonce = Buffer.from(random.subarray(0, 8));
  nonce[0] = ((nonce[0] ?? 0) & 0x7f) | 0x01;
  const reply = await ask({ url, contentType: 'application/timestamp-query', body: timestampQuery(signature, nonce) });
  requireReplyTo(reply, signature, nonce);
  return reply;
}

/** @throws CairnError `malformed-document` with reason `timestamp-invalid` */
export function requireReplyTo(reply: Buffer, signature: Uint8Array, nonce: Uint8Array): void {
  const { RFC3161Timestamp } = createRequire(import.meta.url)('@sigstore/core') as typeof core;
  let fits: boolean;
  try {
    const stamp = RFC3161Timestamp.parse(Buffer.from(reply));
    if (stamp.status !== 0n && stamp.status !== 1n) throw new Error(`status ${stamp.status}`);
    const { tstInfo } = stamp;
    const back = tstInfo.root.subs.find(({ tag, value }) => tag.isInteger() && value.equals(nonce));
    fits = tstInfo.messageImprintHashAlgorithm === 'sha256' && tstInfo.messageImprintHashedMessage.equals(sha256(signature)) && back !== undefined;
  } catch (cause) {
    throw malformed('timestamp-invalid', 'the timestamp authority gave no timestamp', { cause });
  }
  if (!fits) throw malformed('timestamp-invalid', "the timestamp authority's answer is to another question");
}

/** Lengths here stay below 128. */
function der(tag: number, ...parts: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(parts);
  return Buffer.concat([Buffer.from([tag, content.byteLength]), content]);
}
