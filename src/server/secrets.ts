import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CairnError, ensureDurableDirectory, Mutex, writeFileDurable } from '#core';
import type { Secrets } from '#release';

/** Encrypts what rests on the disk. @throws CairnError `storage` where the bytes were changed */
export interface Sealer {
  seal(plain: Buffer): Buffer;
  open(sealed: Buffer): Buffer;
}

export interface SecretStore extends Secrets {
  /** A new version, from 1. Earlier ones stay, since content that may come back can be pinned to them. */
  put(application: string, environment: string, name: string, value: string): Promise<number>;
}

const nameForm = /^[A-Z_][A-Z0-9_]{0,127}$/;
const largest = 1 << 20;

/** One sealed file a version: ROOT/ENVIRONMENT/APPLICATION/NAME/VERSION. Its place is sealed in, so that files cannot be swapped. */
export function fileSecrets(root: string, sealer: Sealer): SecretStore {
  const writing = new Mutex();

  async function versions(folder: string): Promise<number[]> {
    return (await readdir(folder).catch(() => [])).filter((one) => /^\d+$/.test(one)).map(Number).toSorted((a, b) => a - b);
  }

  return {
    async put(application, environment, name, value) {
      if (!nameForm.test(name)) throw new CairnError('usage', `"${name}" is no name of a secret`, { fix: 'Use upper-case letters, digits and underscores, as of an environment variable' });
      if (Buffer.byteLength(value) > largest) throw new CairnError('usage', `the secret ${name} has more than ${largest} bytes`, { fix: 'Keep large things in a data folder' });
      return writing.run(async () => {
        const folder = join(root, environment, application, name);
        await ensureDurableDirectory(folder, 0o700);
        const version = ((await versions(folder)).at(-1) ?? 0) + 1;
        const place = `${environment}/${application}/${name}/${version}`;
        await writeFileDurable(join(folder, String(version)), sealer.seal(Buffer.from(`${place}\n${value}`)), 0o600);
        return version;
      });
    },
    async read(application, environment, name, version) {
      const place = `${environment}/${application}/${name}/${version}`;
      const sealed = await readFile(join(root, place)).catch((cause: unknown) => {
        throw new CairnError('secret-missing', `${environment} has no version ${version} of the secret ${name}`, { cause, fix: `cairn secret put ${name} ${environment}` });
      });
      const plain = sealer.open(sealed).toString('utf8');
      if (!plain.startsWith(`${place}\n`)) throw new CairnError('storage', `the stored secret ${name} version ${version} is another one`, { fix: `cairn secret put ${name} ${environment}` });
      return plain.slice(place.length + 1);
    },
    async latest(application, environment) {
      const folder = join(root, environment, application);
      const found: Record<string, number> = {};
      for (const name of (await readdir(folder).catch(() => [])).toSorted()) {
        const newest = (await versions(join(folder, name))).at(-1);
        if (newest !== undefined) found[name] = newest;
      }
      return found;
    },
  };
}
