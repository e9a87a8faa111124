import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { writeFileDurable } from '#core';
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
  const ring = keyRing((await readFile(join(folder, passphraseFile), 'utf8')).trim());
  const load = async (name: string) => signerFrom(await ring.open(await readFile(join(folder, `${name}.key`), 'utf8')));
  const loaded = new Map(await Promise.all(keyNames(environments).map(async ([name]) => [name, await load(name)] as const)));
  const key = (name: string): Signer => {
    const signer = loaded.get(name);
    if (signer === undefined) throw new TypeError(`no server key ${name}`);
    return signer;
  };
  return { log: key('log'), time: key('time'), record: key('record'), admit: (environment) => key(`admit-${environment}`) };
}

function keyNames(environments: readonly string[]): readonly (readonly [string, KeyKind])[] {
  return [['log', 'ed25519'], ['time', 'ed25519'], ['record', 'ecdsa'], ...environments.map((name) => [`admit-${name}`, 'ecdsa'] as const)];
}
