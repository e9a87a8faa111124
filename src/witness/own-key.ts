import { createPrivateKey } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CairnError, ensureDurableDirectory, writeFileDurable } from '#core';
import { algorithms, formatVkey, noteKey, parseVkey } from '#log';
import { generateSigner, signerFrom, type Signer } from '#sign';

export interface WitnessKey {
  readonly name: string;
  readonly signer: Signer;
  /** What others know it by. */
  readonly vkey: string;
}

const pkcs8Prefix = Buffer.from('302e020100300506032b657004220420', 'hex');

/**
 * The witness's own key, made at the first start: one line `PRIVATE+KEY+NAME+ID+base64(4 || seed)` in `witness.key`, so that name and key are written together
 * or not at all. The name is part of it for ever: cosignatures under another name are another witness's.
 * @param wanted the name it is to have; @throws CairnError `conflict` where it has another
 */
export async function ownKey(folder: string, wanted: string | undefined, random: (bytes: number) => string): Promise<WitnessKey> {
  const path = join(folder, 'witness.key');
  await ensureDurableDirectory(folder, 0o700);
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
  if (text === undefined) {
    const made = keyFrom(wanted ?? `witness-${random(6)}.cairn.internal`, generateSigner('ed25519'));
    await writeFileDurable(path, `${privateLine(made)}\n`, 0o600);
    return made;
  }
  const key = readPrivate(text.trimEnd(), path);
  if (wanted !== undefined && wanted !== key.name) {
    throw new CairnError('conflict', `the witness of ${folder} is called ${key.name}, not ${wanted}`, { fix: 'Leave --name away, or give another --home for another witness' });
  }
  return key;
}

function keyFrom(name: string, signer: Signer): WitnessKey {
  const vkey = formatVkey(noteKey(name, algorithms.cosignature, signer.publicKey));
  // Read again at once: a name that no note could carry must not get a key.
  parseVkey(vkey);
  return Object.freeze({ name, signer, vkey });
}

function privateLine({ name, signer, vkey }: WitnessKey): string {
  const seed = Buffer.from(signer.privateKey.export({ format: 'jwk' }).d ?? '', 'base64url');
  return `PRIVATE+KEY+${name}+${vkey.slice(name.length + 1, name.length + 9)}+${Buffer.concat([Buffer.from([algorithms.cosignature]), seed]).toString('base64')}`;
}

function readPrivate(line: string, path: string): WitnessKey {
  const [, name = '', id = '', encoded = ''] = /^PRIVATE\+KEY\+([^\s+]{1,255})\+([0-9a-f]{8})\+([A-Za-z0-9+/]{44})$/.exec(line) ?? [];
  const bytes = Buffer.from(encoded, 'base64');
  if (bytes.byteLength === 33 && bytes[0] === algorithms.cosignature) {
    const key = keyFrom(name, signerFrom(createPrivateKey({ key: Buffer.concat([pkcs8Prefix, bytes.subarray(1)]), format: 'der', type: 'pkcs8' })));
    if (key.vkey.slice(name.length + 1, name.length + 9) === id) return key;
  }
  throw new CairnError('malformed-document', `${path} is not the key of a witness`, { fix: 'Restore it from a backup; without it, move the folder away: the witness begins anew, with a new key that its logs must be told' });
}
