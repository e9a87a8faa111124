import { createPublicKey, type KeyObject } from 'node:crypto';
import { verificationFailed } from '#core';
import { keyHint } from '#sign';

export interface KnownKey {
  /** base64. */
  readonly spki: string;
  readonly der: Buffer;
  readonly key: KeyObject;
  readonly hint: string;
}

const known = new Map<string, KnownKey>();

/**
 * The key of a base64 SPKI. Reading a key takes as long as checking a signature with it, and the same few keys sign everything:
 * they are kept. Keys only, never what a signature was found to be. Bounded: beyond 4,096 it begins again.
 * @throws CairnError `verification-failed`: `unsupported-key`, where it is no key at all
 */
export function knownKey(spki: string): KnownKey {
  const found = known.get(spki);
  if (found !== undefined) return found;
  const der = Buffer.from(spki, 'base64');
  const key = read(der);
  const made = Object.freeze({ spki, der, key, hint: keyHint(key) });
  if (known.size >= 4096) known.clear();
  known.set(spki, made);
  return made;
}

function read(der: Buffer): KeyObject {
  let key: KeyObject | undefined;
  try {
    key = createPublicKey({ key: der, format: 'der', type: 'spki' });
  } catch (cause) {
    throw verificationFailed('unsupported-key', 'a key that may have signed cannot be read', { cause });
  }
  // Another kind would be checked by other rules, or end the check in a crash.
  if (key.asymmetricKeyType !== 'ec' || key.asymmetricKeyDetails?.namedCurve !== 'prime256v1') throw verificationFailed('unsupported-key', `a key that may have signed is ${key.asymmetricKeyType}, not ECDSA P-256`);
  return key;
}
