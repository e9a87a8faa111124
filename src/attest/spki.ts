import { z } from 'zod';

const ecPrefix = Buffer.from('3059301306072a8648ce3d020106082a8648ce3d03010703420004', 'hex');
const edPrefix = Buffer.from('302a300506032b6570032100', 'hex');

/**
 * A public key as base64 of its SubjectPublicKeyInfo, in the one form that each key has. Keys are told apart by this text: people, thresholds and
 * revocations rest on it. One key spelled in two ways (base64 with loose bits at its end, a compressed point, another curve's parameters) would
 * count as two, or would stay when it was revoked in the other spelling.
 */
export const spki = z.string().max(1024).regex(/^[A-Za-z0-9+/]+={0,2}$/).refine(isPlain, 'not the plain base64 SPKI of a P-256 or Ed25519 public key');

function isPlain(text: string): boolean {
  const bytes = Buffer.from(text, 'base64');
  if (bytes.toString('base64') !== text) return false;
  // What does not begin like DER is no key and can sign nothing.
  if (bytes[0] !== 0x30) return true;
  return (bytes.byteLength === 91 && bytes.subarray(0, 27).equals(ecPrefix)) || (bytes.byteLength === 44 && bytes.subarray(0, 12).equals(edPrefix));
}
