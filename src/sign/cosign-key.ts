import { createPrivateKey, randomBytes, scrypt, type KeyObject } from 'node:crypto';
import { promisify } from 'node:util';
import { xsalsa20poly1305 } from '@noble/ciphers/salsa.js';
import { CairnError } from '#core';

// cosign's key file: PEM around JSON, scrypt for the passphrase, NaCl secretbox around PKCS#8
// (secure-systems-lab/go-securesystemslib: encrypted/encrypted.go). Plain PKCS#8 is refused by cosign, so nothing else is written.

const label = 'ENCRYPTED SIGSTORE PRIVATE KEY';
const derive = promisify<string, Buffer, number, { N: number; r: number; p: number; maxmem: number }, Buffer>(scrypt);

interface KeyFile {
  readonly kdf: { readonly name: 'scrypt'; readonly params: { readonly N: number; readonly r: number; readonly p: number }; readonly salt: string };
  readonly cipher: { readonly name: 'nacl/secretbox'; readonly nonce: string };
  readonly ciphertext: string;
}

type Derive = (salt: Buffer, N: number) => Promise<Buffer>;

/** @returns the PEM text of the key, encrypted with `passphrase` (scrypt N=65536 r=8 p=1, about 100 ms of work). */
export async function encryptPrivateKey(key: KeyObject, passphrase: string): Promise<string> {
  return seal(key, randomBytes(32), 65536, (salt, N) => deriveKey(passphrase, salt, N));
}

/**
 * Reads a key that `encryptPrivateKey` or `cosign generate-key-pair` wrote.
 * @throws CairnError `wrong-passphrase`, or `malformed-document` where it is no such file. The work factor is checked against
 * the three that cosign writes: whoever can alter the file must not choose how much memory we spend.
 */
export async function decryptPrivateKey(pem: string, passphrase: string): Promise<KeyObject> {
  return unseal(pem, (salt, N) => deriveKey(passphrase, salt, N));
}

/** Seals and opens the keys of one machine. */
export interface KeyRing {
  seal(key: KeyObject): Promise<string>;
  /** @throws CairnError as `decryptPrivateKey` */
  open(pem: string): Promise<KeyObject>;
}

/**
 * For a passphrase that a machine made (256 random bits): nobody guesses it, so stretching it buys nothing. cosign reads no less
 * than N=32768; one salt for the whole ring makes that one derivation, however many keys are opened.
 */
export function keyRing(passphrase: string): KeyRing {
  const derived = new Map<string, Promise<Buffer>>();
  const once: Derive = (salt, N) => {
    const name = `${N} ${salt.toString('hex')}`;
    const known = derived.get(name) ?? deriveKey(passphrase, salt, N);
    derived.set(name, known);
    return known;
  };
  const salt = randomBytes(32);
  return { seal: (key) => seal(key, salt, 32768, once), open: (pem) => unseal(pem, once) };
}

async function seal(key: KeyObject, salt: Buffer, N: number, deriveFrom: Derive): Promise<string> {
  const nonce = randomBytes(24);
  const secret = await deriveFrom(salt, N);
  const plain = key.export({ type: 'pkcs8', format: 'der' });
  const ciphertext = xsalsa20poly1305(secret, nonce).encrypt(plain);
  const file: KeyFile = {
    kdf: { name: 'scrypt', params: { N, r: 8, p: 1 }, salt: salt.toString('base64') },
    cipher: { name: 'nacl/secretbox', nonce: nonce.toString('base64') },
    ciphertext: Buffer.from(ciphertext).toString('base64'),
  };
  const body = Buffer.from(JSON.stringify(file)).toString('base64').replaceAll(/.{64}/g, '$&\n').trimEnd();
  return `-----BEGIN ${label}-----\n${body}\n-----END ${label}-----\n`;
}

async function unseal(pem: string, deriveFrom: Derive): Promise<KeyObject> {
  const match = /^-----BEGIN ([A-Z ]+)-----\n([A-Za-z0-9+/=\s]+)-----END \1-----\s*$/.exec(pem);
  if (match?.[1] !== label && match?.[1] !== 'ENCRYPTED COSIGN PRIVATE KEY') {
    throw new CairnError('malformed-document', 'the key file is not an encrypted Sigstore private key', {
      fix: 'Make one with cairn key new or cosign generate-key-pair',
    });
  }
  const file = parseKeyFile(Buffer.from(match[2] ?? '', 'base64').toString('utf8'));
  const secret = await deriveFrom(Buffer.from(file.kdf.salt, 'base64'), file.kdf.params.N);
  let plain: Uint8Array;
  try {
    plain = xsalsa20poly1305(secret, Buffer.from(file.cipher.nonce, 'base64')).decrypt(Buffer.from(file.ciphertext, 'base64'));
  } catch (cause) {
    throw new CairnError('wrong-passphrase', 'the passphrase does not open the key', { cause, fix: 'Give the passphrase that the key was made with' });
  }
  return createPrivateKey({ key: Buffer.from(plain), format: 'der', type: 'pkcs8' });
}

function deriveKey(passphrase: string, salt: Buffer, N: number): Promise<Buffer> {
  return derive(passphrase, salt, 32, { N, r: 8, p: 1, maxmem: 256 << 20 });
}

function parseKeyFile(text: string): KeyFile {
  try {
    const file = JSON.parse(text) as KeyFile;
    const { N, r, p } = file.kdf.params;
    const known = [32768, 65536, 131072].includes(N) && r === 8 && p === 1;
    if (known && file.kdf.name === 'scrypt' && file.cipher.name === 'nacl/secretbox') return file;
  } catch (cause) {
    throw new CairnError('malformed-document', 'the key file is damaged', { cause, fix: 'Restore the key file from a backup' });
  }
  throw new CairnError('malformed-document', 'the key file asks for an unknown key derivation or cipher');
}
