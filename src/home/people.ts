import { createPublicKey } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CairnError, exists, writeFileDurable } from '#core';
import { decryptPrivateKey, encryptPrivateKey, generateSigner, publicKeyPem, signerFrom, spkiOf, type Signer } from '#sign';

/** A person's key, encrypted with a passphrase that only the person knows. An existing one is kept. */
export async function createPerson(folder: string, name: string, passphrase: string): Promise<{ created: boolean }> {
  const path = join(folder, `${name}.key`);
  if (await exists(path)) return { created: false };
  const signer = generateSigner('ecdsa');
  await writeFileDurable(join(folder, `${name}.pub`), publicKeyPem(signer.publicKey));
  await writeFileDurable(path, await encryptPrivateKey(signer.privateKey, passphrase), 0o600);
  return { created: true };
}

/** @throws CairnError `not-initialized`, `wrong-passphrase` */
export async function loadPerson(folder: string, name: string, passphrase: string): Promise<Signer> {
  const pem = await readFile(join(folder, `${name}.key`), 'utf8').catch((cause: unknown) => {
    throw new CairnError('not-initialized', `there is no key of ${name} on this machine`, { cause, fix: 'cairn init' });
  });
  return signerFrom(await decryptPrivateKey(pem, passphrase));
}

/** base64 SPKI. */
export async function personPublicKey(folder: string, name: string): Promise<string> {
  return spkiOf(createPublicKey(await readFile(join(folder, `${name}.pub`), 'utf8'))).toString('base64');
}
