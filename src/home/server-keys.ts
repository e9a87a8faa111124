import { randomBytes } from 'node:crypto';
import { readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { fsyncDirectory, writeFileDurable } from '#core';
import { generateSigner, keyRing, publicKeyPem, signerFrom, type KeyKind, type KeyRing, type Signer } from '#sign';

// Server keys, each for one thing: log (checkpoints), time (their cosignatures), record (refusals, ingests, intents, outcomes) and
// admit-ENV (PASSED verdicts of one environment). They stand encrypted in cosign's format; their passphrase is machine-made,
// in a 0600 file beside them, since the server must come back without a person. Move the file and link it to keep them apart.

export interface ServerKeys {
  readonly log: Signer;
  readonly time: Signer;
  readonly record: Signer;
  admit(environment: string): Signer;
}

const passphraseFile = 'passphrase';

export async function createServerKeys(folder: string, environments: readonly string[]): Promise<void> {
  const passphrase = randomBytes(32).toString('base64url');
  await writeFileDurable(join(folder, passphraseFile), passphrase, 0o600);
  const ring = keyRing(passphrase);
  await Promise.all(keyNames(environments).map(([name, kind]) => createKey(folder, name, kind, ring)));
}

async function createKey(folder: string, name: string, kind: KeyKind, ring: KeyRing): Promise<void> {
  const signer = generateSigner(kind);
  await writeFileDurable(join(folder, `${name}.pub`), publicKeyPem(signer.publicKey), 0o644);
  await writeFileDurable(join(folder, `${name}.key`), await ring.seal(signer.privateKey), 0o600);
}

export async function loadServerKeys(folder: string, environments: readonly string[]): Promise<ServerKeys> {
  const ring = await ringOf(folder);
  const load = async (name: string) => signerFrom(await ring.open(await readFile(join(folder, `${name}.key`), 'utf8')));
  const loaded = new Map(await Promise.all(keyNames(environments).map(async ([name]) => [name, await load(name)] as const)));
  const key = (name: string): Signer => {
    const signer = loaded.get(name);
    if (signer === undefined) throw new TypeError(`no server key ${name}`);
    return signer;
  };
  return { log: key('log'), time: key('time'), record: key('record'), admit: (environment) => key(`admit-${environment}`) };
}

const nextLogKey = 'log-next';

/** The key that the log is to have next, if one was made. */
export async function findNextLogKey(folder: string): Promise<Signer | undefined> {
  const pem = await readFile(join(folder, `${nextLogKey}.key`), 'utf8').catch(() => undefined);
  return pem === undefined ? undefined : signerFrom(await (await ringOf(folder)).open(pem));
}

/** Made once and kept until it is used: whoever asks again, after a crash too, gets the same. */
export async function makeNextLogKey(folder: string): Promise<Signer> {
  const known = await findNextLogKey(folder);
  if (known !== undefined) return known;
  const signer = generateSigner('ed25519');
  await writeFileDurable(join(folder, `${nextLogKey}.key`), await (await ringOf(folder)).seal(signer.privateKey), 0o600);
  return signer;
}

/** The next key takes the place of the log's, whose secret half is gone for good: nobody signs with it any more. */
export async function adoptNextLogKey(folder: string, next: Signer): Promise<void> {
  await writeFileDurable(join(folder, 'log.pub'), publicKeyPem(next.publicKey), 0o644);
  await rename(join(folder, `${nextLogKey}.key`), join(folder, 'log.key'));
  await fsyncDirectory(folder);
}

async function ringOf(folder: string): Promise<KeyRing> {
  return keyRing((await readFile(join(folder, passphraseFile), 'utf8')).trim());
}

function keyNames(environments: readonly string[]): readonly (readonly [string, KeyKind])[] {
  return [['log', 'ed25519'], ['time', 'ed25519'], ['record', 'ecdsa'], ...environments.map((name) => [`admit-${name}`, 'ecdsa'] as const)];
}
