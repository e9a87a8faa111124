import { chmod, chown, constants, lchown, open, opendir, realpath, stat } from 'node:fs/promises';
import { join, sep } from 'node:path';
import { CairnError, ensureDurableDirectory } from '#core';
import type { Confined, Isolation, Limits } from '#isolation';
import type { LaunchComponent } from './protocol.ts';
import { storageError } from './storage-error.ts';
import type { TimelineName } from './words.ts';

const noLimits: Limits = { memoryMb: null, cpus: null };
/** A data folder's name begins with a letter or a digit, so that none can be this one. */
const homeName = '.home';
const longestVersion = 1_024;

/** Where an application may write: DATA/ENVIRONMENT/APPLICATION/NAME, shared by its revisions, and a home beside them. */
export interface Place {
  readonly home: string;
  /** CAIRN_DATA_NAME for each folder. */
  readonly variables: Readonly<Record<string, string>>;
}

export class Places {
  readonly #root: string;
  readonly #isolation: Isolation;

  constructor(root: string, isolation: Isolation) {
    this.#root = root;
    this.#isolation = isolation;
  }

  get isolation(): Isolation {
    return this.#isolation;
  }

  /** For one process; whoever starts it closes it. The dot keeps `shop-eu` in `live` from being `eu-live` of `shop`. */
  confine({ application, environment }: TimelineName, limits: Limits | null): Promise<Confined> {
    return this.#isolation.confine(`${environment}.${application}`, limits ?? noLimits);
  }

  /** The folders are there and the application's own when it resolves. @throws CairnError `storage-full`, `storage` */
  async open(named: TimelineName, { data }: Pick<LaunchComponent, 'data'>, confined: Pick<Confined, 'uid' | 'gid'>): Promise<Place> {
    const folder = this.folder(named);
    await this.#make(named, data, confined).catch((cause: NodeJS.ErrnoException) => {
      throw storageError(`the data folders of ${named.application} in ${named.environment} can't be made`, cause);
    });
    const variables: Record<string, string> = {};
    for (const name of data) variables[`CAIRN_DATA_${name.toUpperCase().replaceAll(/[-.]/g, '_')}`] = join(folder, name);
    return { home: join(folder, homeName), variables };
  }

  async #make(named: TimelineName, data: readonly string[], { uid, gid }: Pick<Confined, 'uid' | 'gid'>): Promise<void> {
    const folder = this.folder(named);
    for (const above of [this.#root, join(this.#root, named.environment), folder]) {
      await ensureDurableDirectory(above, 0o711);
      // Whatever the umask was, or who restored it.
      if (uid !== null && ((await stat(above)).mode & 0o777) !== 0o711) await chmod(above, 0o711);
    }
    for (const name of [homeName, ...data]) await own(join(folder, name), uid, gid);
  }

  /** The integer in a file of a data folder, `DATA/PATH`; null where there is none. @throws CairnError `task-failed` */
  async versionIn(named: TimelineName, file: string): Promise<number | null> {
    const folder = join(this.folder(named), file.split('/')[0] ?? '');
    const path = join(this.folder(named), file);
    const text = await readInside(folder, path).catch((cause: NodeJS.ErrnoException) => {
      if (cause.code === 'ENOENT' || cause.code === 'ENOTDIR') return undefined;
      throw new CairnError('task-failed', `the schema's version can't be read from ${file}: ${cause.message}`, { fix: 'Have the application write an integer into that file', cause });
    });
    if (text === undefined) return null;
    if (/^-?\d{1,15}$/.test(text)) return Number(text);
    throw new CairnError('task-failed', `${file}, which says the data's schema, holds no integer`, { fix: 'Have the application write an integer into that file' });
  }

  folder({ application, environment }: TimelineName): string {
    return join(this.#root, environment, application);
  }
}


async function own(path: string, uid: number | null, gid: number | null): Promise<void> {
  await ensureDurableDirectory(path, 0o700);
  if (uid === null || gid === null) return;
  const is = await stat(path);
  if (is.uid === uid && is.gid === gid) return;
  await ownAll(path, uid, gid);
  await chown(path, uid, gid);
}

/** What was written before the application had a user of its own. Links are changed themselves, never what they lead to. */
async function ownAll(folder: string, uid: number, gid: number): Promise<void> {
  for await (const entry of await opendir(folder)) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) await ownAll(path, uid, gid);
    await lchown(path, uid, gid);
  }
}

/** The application writes there and we may be root: no link leads us out of its folder, and no pipe holds us up. */
async function readInside(folder: string, path: string): Promise<string> {
  const [inside, real] = [await realpath(folder), await realpath(path)];
  if (!real.startsWith(inside + sep)) throw new Error('it is not inside its data folder');
  const file = await open(real, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    if (!(await file.stat()).isFile()) throw new Error('it is no file');
    const { buffer, bytesRead } = await file.read(Buffer.alloc(longestVersion), 0, longestVersion, 0);
    return buffer.toString('utf8', 0, bytesRead).trim();
  } finally {
    await file.close();
  }
}
