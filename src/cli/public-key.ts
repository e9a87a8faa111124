import { createPublicKey, type KeyObject } from 'node:crypto';

export function publicKey(spki: string): KeyObject {
  return createPublicKey({ key: Buffer.from(spki, 'base64'), format: 'der', type: 'spki' });
}
