import { readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { CairnError, ensureDurableDirectory, writeFileDurable } from '#core';
import { launch } from './protocol.ts';
import { storageError } from './storage-error.ts';
import { digest, name, type ContentName } from './words.ts';

const storedLaunch = z.strictObject({ application: name, environment: name, content: digest, release: digest, launch });

/** All that it takes to run a content again without the control server. */
export type StoredLaunch = z.infer<typeof storedLaunch>;

/** Encrypts what rests on the disk; `open` throws where the bytes were changed. */
export interface Seal {
  seal(plain: Buffer): Buffer;
  open(sealed: Buffer): Buffer;
}

/** Launches hold secrets: sealed, 0600 in a 0700 folder, and gone as soon as their content is retired. */
export class Launches {
  readonly #folder: string;
  readonly #seal: Seal;

  private constructor(folder: string, seal: Seal) {
    this.#folder = folder;
    this.#seal = seal;
  }

  static async open(folder: string, seal: Seal): Promise<Launches> {
    await ensureDurableDirectory(folder, 0o700);
    return new Launches(folder, seal);
  }

  /** @throws CairnError `storage-full`, `storage` */
  async keep(stored: StoredLaunch): Promise<void> {
    const path = join(this.#folder, fileOf(stored));
    await writeFileDurable(path, this.#seal.seal(Buffer.from(JSON.stringify(stored))), 0o600).catch((cause: NodeJS.ErrnoException) => {
      throw storageError(`how to launch ${stored.application} can't be kept`, cause);
    });
  }

  /** @throws CairnError `storage` where it is absent or damaged */
  async read(named: ContentName): Promise<StoredLaunch> {
    const path = join(this.#folder, fileOf(named));
    try {
      const stored = storedLaunch.parse(JSON.parse(this.#seal.open(await readFile(path)).toString('utf8')));
      if (fileOf(stored) === fileOf(named) && stored.application === named.application) return stored;
      throw new Error('it is of another timeline');
    } catch (cause) {
      throw new CairnError('storage', `how to launch ${named.application} in ${named.environment} can't be read from ${path}`, {
        fix: 'Promote another release there, or restore the file and keys/seal.key from one backup',
        context: { ...named },
        cause,
      });
    }
  }

  async remove(named: ContentName): Promise<void> {
    await rm(join(this.#folder, fileOf(named)), { force: true });
  }

  /** What a crash between keeping and journalling left, and temporary files of one while writing: both may hold secrets. */
  async removeOthers(kept: readonly ContentName[]): Promise<void> {
    const names = new Set(kept.map(fileOf));
    for (const file of await readdir(this.#folder)) if (!names.has(file)) await rm(join(this.#folder, file));
  }
}

function fileOf({ application, environment, content }: ContentName): string {
  return `${application}-${environment}-${content.slice(7)}.sealed`;
}
