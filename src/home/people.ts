import { createPublicKey, type KeyObject } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CairnError, ensureDurableDirectory, exists, writeFileDurable } from '#core';
import { decryptPrivateKey, encryptPrivateKey, generateSigner, publicKeyPem, signerFrom, spkiOf, type Signer } from '#sign';

/** A person's key, encrypted with a passphrase that only the person knows. An existing one is kept. */
export async function createPerson(folder: string, name: string, passphrase: string): Promise<{ created: boolean }> {
  const path = join(folder, `${name}.key`);
  if (await exists(path)) return { created: false };
  await ensureDurableDirectory(folder, 0o700);
  const signer = generateSigner('ecdsa');
  await writeFileDurable(join(folder, `${name}.pub`), publicKeyPem(signer.publicKey));
  await writeFileDurable(path, await encryptPrivateKey(signer.privateKey, passphrase), 0o600);
  return { created: true };
}

/** @throws CairnError `not-initialized`, `wrong-passphrase` */
export async function loadPerson(folder: string, name: string, passphrase: string): Promise<Signer> {
  const pem = await readFile(join(folder, `${name}.key`), 'utf8').catch((cause: unknown) => {
    throw new CairnError('not-initialized', `there is no key of ${name} on this machine`, {
      cause,
      fix: `cairn key new ${name}, or CAIRN_USER=NAME for another of: cairn key list`,
    });
  });
  return signerFrom(await decryptPrivateKey(pem, passphrase));
}

/** base64 SPKI. */
export async function personPublicKey(folder: string, name: string): Promise<string> {
  return readPublicKey(join(folder, `${name}.pub`));
}

/** base64 SPKI of the key in a PEM file, such as `cosign public-key` writes. @throws CairnError `invalid-configuration` */
export async function readPublicKey(path: string): Promise<string> {
  const text = await readFile(path, 'utf8').catch((cause: unknown) => {
    throw new CairnError('invalid-configuration', `${path} cannot be read`, { cause, fix: 'Name the .pub file that cairn key new has written' });
  });
  let key: KeyObject;
  try {
    if (text.includes('PRIVATE KEY')) throw new TypeError('a private key');
    key = createPublicKey(text);
  } catch (cause) {
    throw new CairnError('invalid-configuration', `${path} is no public key`, { cause, fix: 'Name the .pub file that cairn key new has written' });
  }
  if (key.asymmetricKeyType !== 'ec' || key.asymmetricKeyDetails?.namedCurve !== 'prime256v1')
    throw new CairnError('invalid-configuration', `${path} is no ECDSA P-256 key`, { fix: 'Make one: cairn key new NAME' });
  return spkiOf(key).toString('base64');
}

/** Who has a key here, by name. */
export async function listPeople(folder: string): Promise<{ name: string; path: string; key: string }[]> {
  const names = (await readdir(folder).catch(() => [])).flatMap((file) => (file.endsWith('.key') ? [file.slice(0, -4)] : [])).toSorted();
  return Promise.all(names.map(async (name) => ({ name, path: join(folder, `${name}.pub`), key: await personPublicKey(folder, name) })));
}
