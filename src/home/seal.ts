import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { link, open, readFile, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { CairnError, fsyncDirectory } from '#core';

/** Encrypts what rests on the disk, and knows its own bytes again: whoever copies a backup or a disk learns nothing without the key. */
export interface Sealer {
  seal(plain: Buffer): Buffer;
  /** @throws CairnError `storage` where the bytes were changed or sealed under another key */
  open(sealed: Buffer): Buffer;
}

const keyBytes = 32;
const nonceBytes = 12;
const tagBytes = 16;
/** In front of each, authenticated with it: another way of sealing would have another number. */
const version = Buffer.from([1]);

/**
 * The machine's own key, made at its first use: `seal.key`, 0600. The runner and the control server may both be the first, at one
 * time; the name is given once, and both read what stands there.
 * @throws CairnError `storage` where the key is damaged
 */
export async function loadSealer(keysFolder: string): Promise<Sealer> {
  const path = join(keysFolder, 'seal.key');
  const key = Buffer.from((await readKey(path)) ?? (await makeKey(path)), 'base64url');
  if (key.byteLength !== keyBytes) {
    throw new CairnError('storage', `${path} is no key`, { fix: 'Restore it from a backup; without it, put the secrets again: cairn secret put NAME ENVIRONMENT', context: { path } });
  }
  return sealerOf(key);
}

async function readKey(path: string): Promise<string | undefined> {
  return readFile(path, 'utf8').then(
    (text) => text.trim(),
    (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return undefined;
      throw error;
    },
  );
}

async function makeKey(path: string): Promise<string> {
  const temporary = `${path}.tmp-${randomBytes(6).toString('hex')}`;
  try {
    const file = await open(temporary, 'wx', 0o600);
    try {
      await file.writeFile(`${randomBytes(keyBytes).toString('base64url')}\n`);
      await file.sync();
    } finally {
      await file.close();
    }
    // Unlike a rename, a link never takes the place of what another process made in the meantime.
    await link(temporary, path).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') throw error;
    });
  } finally {
    await rm(temporary, { force: true });
  }
  await fsyncDirectory(dirname(path));
  return (await readFile(path, 'utf8')).trim();
}

function sealerOf(key: Buffer): Sealer {
  return {
    seal(plain) {
      const nonce = randomBytes(nonceBytes);
      const cipher = createCipheriv('aes-256-gcm', key, nonce).setAAD(version);
      const body = Buffer.concat([cipher.update(plain), cipher.final()]);
      return Buffer.concat([version, nonce, cipher.getAuthTag(), body]);
    },
    open(sealed) {
      const body = version.byteLength + nonceBytes + tagBytes;
      try {
        if (sealed.byteLength < body || !sealed.subarray(0, 1).equals(version)) throw new Error('it is not sealed');
        const decipher = createDecipheriv('aes-256-gcm', key, sealed.subarray(1, 1 + nonceBytes), { authTagLength: tagBytes }).setAAD(version);
        decipher.setAuthTag(sealed.subarray(1 + nonceBytes, body));
        return Buffer.concat([decipher.update(sealed.subarray(body)), decipher.final()]);
      } catch (cause) {
        throw new CairnError('storage', 'sealed bytes were changed, or sealed under another key', {
          fix: 'Restore them and keys/seal.key from one backup',
          cause,
        });
      }
    },
  };
}
