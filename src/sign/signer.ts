import { createPrivateKey, createPublicKey, generateKeyPairSync, sign, type KeyObject } from 'node:crypto';
import { CairnError, malformed, sha256 } from '#core';

/** `ecdsa`: P-256 with SHA-256, DER signatures (people and statements). `ed25519`: the log's checkpoints. */
export type KeyKind = 'ecdsa' | 'ed25519';

/** Something that signs bytes. A KMS is one more implementation. */
export interface Signer {
  readonly kind: KeyKind;
  readonly publicKey: KeyObject;
  /** base64(SHA-256(SPKI DER)): the hint by which a bundle names its key. */
  readonly hint: string;
  readonly privateKey: KeyObject;
  sign(bytes: Uint8Array): Buffer;
}

export function signerFrom(privateKey: KeyObject): Signer {
  const publicKey = createPublicKey(privateKey as unknown as Parameters<typeof createPublicKey>[0]);
  const kind = kindOf(privateKey);
  return Object.freeze({
    kind,
    publicKey,
    privateKey,
    hint: keyHint(publicKey),
    sign: (bytes: Uint8Array) => sign(kind === 'ecdsa' ? 'sha256' : null, bytes, privateKey),
  });
}

export function generateSigner(kind: KeyKind): Signer {
  const options = { privateKeyEncoding: { type: 'pkcs8', format: 'der' }, publicKeyEncoding: { type: 'spki', format: 'der' } } as const;
  const pair = kind === 'ecdsa' ? generateKeyPairSync('ec', { namedCurve: 'P-256', ...options }) : generateKeyPairSync('ed25519', options);
  return signerFrom(createPrivateKey({ key: pair.privateKey, format: 'der', type: 'pkcs8' }));
}

/**
 * The public key of a base64 SPKI that others gave, of the kind that is asked for: another curve or RSA would be checked by other rules.
 * @throws CairnError `malformed-document`: `unsupported-key`
 */
export function publicKeyFrom(spki: string, kind: KeyKind): KeyObject {
  const known = read.get(`${kind} ${spki}`);
  if (known !== undefined) return known;
  const key = readPublicKey(spki, kind);
  if (read.size >= 1024) read.clear();
  read.set(`${kind} ${spki}`, key);
  return key;
}

/** Reading a key takes as long as checking a signature with it, and the same few keys sign everything. Bounded: it begins again. */
const read = new Map<string, KeyObject>();

function readPublicKey(spki: string, kind: KeyKind): KeyObject {
  let key: KeyObject | undefined;
  try {
    key = createPublicKey({ key: Buffer.from(spki, 'base64'), format: 'der', type: 'spki' });
  } catch (cause) {
    throw malformed('unsupported-key', `${spki.slice(0, 20)} is no public key`, { cause });
  }
  if (kindOf(key) !== kind) throw malformed('unsupported-key', `a key for ${kindOf(key)} cannot be used where one for ${kind} is needed`);
  return key;
}

/** SubjectPublicKeyInfo, DER. */
export function spkiOf(publicKey: KeyObject): Buffer {
  return publicKey.export({ type: 'spki', format: 'der' });
}

export function keyHint(publicKey: KeyObject): string {
  return sha256(spkiOf(publicKey)).toString('base64');
}

export function publicKeyPem(publicKey: KeyObject): string {
  return publicKey.export({ type: 'spki', format: 'pem' }).toString();
}

function kindOf(key: KeyObject): KeyKind {
  if (key.asymmetricKeyType === 'ed25519') return 'ed25519';
  if (key.asymmetricKeyType === 'ec' && key.asymmetricKeyDetails?.namedCurve === 'prime256v1') return 'ecdsa';
  throw new CairnError('malformed-document', `a ${key.asymmetricKeyType} key cannot be used here`, { fix: 'Use an ECDSA P-256 key' });
}
