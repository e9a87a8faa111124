import { createHash, randomBytes } from 'node:crypto';
import { constants, createReadStream, createWriteStream } from 'node:fs';
import { link, lstat, open, readlink, realpath, rm, type FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { pack, type Pack } from 'tar-stream';
import { CairnError, fsyncDirectory } from '#core';

/** One name in the archive, as it is and as the manifest at its end says that it must be. */
export interface Archived {
  readonly path: string;
  readonly kind: 'file' | 'folder' | 'link';
  readonly mode: number;
  /** Whose it is, where that is kept. */
  readonly owner?: readonly [uid: number, gid: number];
  readonly size?: number;
  readonly sha256?: string;
  readonly target?: string;
}

export const manifestName = 'manifest.json';

/** Writes a tar archive that ends with a manifest of all that is in it. The file takes its name when all of it is on the disk. */
export class ArchiveWriter {
  readonly #path: string;
  readonly #temporary: string;
  readonly #file: FileHandle;
  readonly #pack: Pack;
  readonly #written: Promise<void>;
  readonly #entries: Archived[] = [];

  private constructor(path: string, temporary: string, file: FileHandle) {
    this.#path = path;
    this.#temporary = temporary;
    this.#file = file;
    this.#pack = pack();
    this.#written = drain(this.#pack, file);
    this.#written.catch(() => {});
  }

  /** For our eyes only from its first byte on, unless it is said otherwise: a backup holds keys. @throws CairnError `usage` where the name is taken */
  static async create(path: string, mode = 0o600): Promise<ArchiveWriter> {
    await refuseTaken(path);
    const temporary = `${path}.tmp-${randomBytes(6).toString('hex')}`;
    const file = await open(temporary, 'wx', mode).catch((cause: unknown) => {
      throw new CairnError('usage', `${path} can't be written: ${(cause as Error).message}`, { cause, fix: 'Name a file in a folder that exists and is yours' });
    });
    return new ArchiveWriter(path, temporary, file);
  }

  get entries(): readonly Archived[] {
    return this.#entries;
  }

  /** A file's bytes as they are now; what grows meanwhile is cut at the size that it had, what shrinks is refused. */
  async file(path: string, source: string): Promise<void> {
    const handle = await open(source, constants.O_RDONLY | constants.O_NOFOLLOW);
    try {
      const { size, mode } = await handle.stat();
      const bytes = size === 0 ? Readable.from([]) : handle.createReadStream({ start: 0, end: size - 1, autoClose: false });
      await this.#add({ path, kind: 'file', mode: mode & 0o7777, size }, bytes);
    } finally {
      await handle.close();
    }
  }

  /** Of a file that somebody else writes to: what it is at the moment, by way of a copy. */
  async copied(path: string, source: string, copy: string, within: string): Promise<void> {
    // A link or a pipe by now: it is not what it was listed as, and not of the data that counts.
    const handle = await open(source, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ELOOP' || error.code === 'ENOENT') return undefined;
      throw error;
    });
    if (handle === undefined) return;
    try {
      const stat = await handle.stat();
      if (!stat.isFile() || !(await isWithin(handle, within))) return;
      await pipeline(handle.createReadStream({ autoClose: false }), createWriteStream(copy, { mode: 0o600 }));
      const { size } = await lstat(copy);
      const entry: Archived = { path, kind: 'file', mode: stat.mode & 0o7777, owner: [stat.uid, stat.gid], size };
      await this.#add(entry, createReadStream(copy));
    } finally {
      await handle.close();
    }
  }

  bytes(path: string, content: Buffer, mode: number): Promise<void> {
    return this.#add({ path, kind: 'file', mode, size: content.byteLength }, Readable.from(content.byteLength === 0 ? [] : [content]));
  }

  async folder(path: string, source: string, options: { owner?: boolean } = {}): Promise<void> {
    const { mode, uid, gid } = await lstat(source);
    await this.#add({ path, kind: 'folder', mode: mode & 0o7777, ...(options.owner === true && { owner: [uid, gid] as const }) });
  }

  async link(path: string, source: string, options: { owner?: boolean } = {}): Promise<void> {
    const { uid, gid } = await lstat(source);
    await this.#add({ path, kind: 'link', mode: 0o777, target: await readlink(source), ...(options.owner === true && { owner: [uid, gid] as const }) });
  }

  /** @returns bytes of the archive */
  async finish(about: object): Promise<number> {
    const manifest = Buffer.from(JSON.stringify({ ...about, files: this.#entries }));
    await this.#add({ path: manifestName, kind: 'file', mode: 0o600, size: manifest.byteLength }, Readable.from([manifest]));
    this.#pack.finalize();
    await this.#written;
    await this.#file.sync();
    const { size } = await this.#file.stat();
    await this.#file.close();
    // Unlike a rename, a link never takes the place of what came there in the meantime.
    await link(this.#temporary, this.#path).catch(async () => refuseTaken(this.#path));
    await rm(this.#temporary);
    await fsyncDirectory(dirname(this.#path));
    return size;
  }

  async abandon(): Promise<void> {
    this.#pack.destroy(new Error('abandoned'));
    await this.#written.catch(() => {});
    await this.#file.close().catch(() => {});
    await rm(this.#temporary, { force: true });
  }

  async #add(entry: Archived, source?: Readable): Promise<void> {
    const { path, kind, mode, target, size = 0 } = entry;
    const hash = createHash('sha256');
    const type = ({ file: 'file', folder: 'directory', link: 'symlink' } as const)[kind];
    // The manifest has the times that matter; here they would only tell two archives of one state apart.
    const header = { name: path, type, mode, size, mtime: new Date(0), ...(target !== undefined && { linkname: target }) };
    let length = 0;
    await Promise.race([
      this.#written,
      (async () => {
        let sink: ReturnType<Pack['entry']> | undefined;
        const done = new Promise<void>((resolve, reject) => {
          sink = this.#pack.entry(header, (error) => (error === null || error === undefined ? resolve() : reject(error)));
        });
        done.catch(() => {});
        for await (const chunk of source ?? []) {
          hash.update(chunk as Buffer);
          length += (chunk as Buffer).byteLength;
          if (sink?.write(chunk) === false) await new Promise<void>((resolve) => sink?.once('drain', () => resolve()));
        }
        if (kind === 'file' && length !== size) throw new CairnError('conflict', `${path} became shorter while it was read`, { fix: 'Ask again', retryable: true });
        if (kind === 'file') sink?.end(null);
        await done;
      })(),
    ]);
    this.#entries.push(kind === 'file' ? { ...entry, size, sha256: hash.digest('hex') } : entry);
  }
}

/** Where the open file really is, as the kernel says; elsewhere than on Linux nobody but us writes there. */
async function isWithin(handle: FileHandle, folder: string): Promise<boolean> {
  const actual = await readlink(`/proc/self/fd/${handle.fd}`).catch(() => undefined);
  return actual === undefined || actual.startsWith(`${await realpath(folder)}/`);
}

async function drain(source: Pack, file: FileHandle): Promise<void> {
  for await (const chunk of source as AsyncIterable<Buffer>) await file.writeFile(chunk);
}

async function refuseTaken(path: string): Promise<void> {
  if ((await lstat(path).catch(() => undefined)) !== undefined) throw new CairnError('usage', `${path} is there already`, { fix: 'Name a file that is not there yet' });
}

