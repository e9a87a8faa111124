import { createHash, randomBytes } from 'node:crypto';
import { constants, createReadStream, createWriteStream } from 'node:fs';
import { chmod, chown, link, lstat, mkdir, open, readlink, realpath, rm, symlink, type FileHandle } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { extract, pack, type ExtractEvents, type Pack } from 'tar-stream';
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

const manifestName = 'manifest.json';
const manifestLimit = 1 << 30;

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

  /** For our eyes only from its first byte on: a backup holds keys. @throws CairnError `usage` where the name is taken */
  static async create(path: string): Promise<ArchiveWriter> {
    await refuseTaken(path);
    const temporary = `${path}.tmp-${randomBytes(6).toString('hex')}`;
    const file = await open(temporary, 'wx', 0o600).catch((cause: unknown) => {
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

/**
 * Unpacks an archive into a new folder and checks all of it against the manifest at its end. Names stay inside, whoever made it.
 * @throws CairnError `backup-damaged`; what was unpacked until then is for the caller to remove
 */
export async function readArchive(path: string, directory: string, allowed: (path: string) => boolean): Promise<{ about: Record<string, unknown>; files: readonly Archived[] }> {
  const found = new Map<string, Archived>();
  let manifest: Buffer | undefined;
  const archive = extract();
  const feeding = pipeline(createReadStream(path), archive as unknown as NodeJS.WritableStream);
  feeding.catch(() => {});
  try {
    for await (const entry of archive) {
      const name = entry.header.name.replace(/\/$/, '');
      if (manifest !== undefined) throw damaged(path, 'something stands behind its manifest');
      if (name === manifestName) {
        manifest = await manifestOf(path, entry);
        continue;
      }
      if (!isInside(name) || !allowed(name) || found.has(name)) throw damaged(path, `the name ${JSON.stringify(name.slice(0, 200))} does not belong in a backup`);
      // A link in front of a name would have us write wherever it leads.
      if (parentsOf(name).some((parent) => found.get(parent)?.kind === 'link' || found.get(parent)?.kind === 'file')) throw damaged(path, `${name} lies behind a link or a file`);
      found.set(name, await place(entry, name, directory, path));
    }
    await feeding;
  } catch (cause) {
    if (cause instanceof CairnError) throw cause;
    const { code } = cause as NodeJS.ErrnoException;
    if (code === 'ENOENT' && (cause as NodeJS.ErrnoException).path === path) throw new CairnError('usage', `there is no ${path}`, { cause, fix: 'Name the file that cairn backup wrote' });
    if (code === 'ENOSPC' || code === 'EDQUOT') throw new CairnError('storage-full', 'the disk is full: nothing was restored', { cause, fix: 'Make room, or restore to another disk with --home' });
    throw damaged(path, (cause as Error).message, cause);
  } finally {
    archive.destroy();
  }
  if (manifest === undefined) throw damaged(path, 'it ends before its manifest');
  return settle(path, directory, found, manifest);
}

/** What came out against what the manifest says; then, and only then, modes and owners. */
async function settle(path: string, directory: string, found: ReadonlyMap<string, Archived>, manifest: Buffer): Promise<{ about: Record<string, unknown>; files: readonly Archived[] }> {
  let parsed: Record<string, unknown> & { files?: Archived[] };
  try {
    parsed = JSON.parse(manifest.toString('utf8')) as typeof parsed;
  } catch (cause) {
    throw damaged(path, 'its manifest is not JSON', cause);
  }
  const { files = [], ...about } = parsed;
  const missing = files.find((one) => !found.has(one.path));
  if (missing !== undefined) throw damaged(path, `${missing.path} is missing`);
  if (files.length !== found.size) throw damaged(path, 'it holds what its manifest does not name');
  for (const wanted of files) {
    const { kind, size, sha256, target } = found.get(wanted.path) ?? wanted;
    if (kind !== wanted.kind || size !== wanted.size || sha256 !== wanted.sha256 || target !== wanted.target) throw damaged(path, `${wanted.path} is not what was backed up`);
  }
  // Innermost first: a folder may be closed to writing.
  for (const { path: name, kind, mode, owner } of files.toReversed()) {
    const place = join(directory, name);
    if (owner !== undefined && process.getuid?.() === 0 && kind !== 'link') await chown(place, owner[0], owner[1]);
    if (kind !== 'link') await chmod(place, mode);
  }
  return { about, files };
}

async function manifestOf(path: string, entry: ExtractEvents['entry'][1]): Promise<Buffer> {
  if (entry.header.size > manifestLimit) throw damaged(path, 'its manifest is too large');
  const chunks: Buffer[] = [];
  for await (const chunk of entry as AsyncIterable<Buffer>) chunks.push(chunk);
  return Buffer.concat(chunks);
}

async function place(entry: ExtractEvents['entry'][1], name: string, directory: string, path: string): Promise<Archived> {
  const { type, linkname } = entry.header;
  const place = join(directory, name);
  await mkdir(dirname(place), { recursive: true, mode: 0o700 });
  if (type === 'directory') {
    entry.resume();
    await mkdir(place, { recursive: true, mode: 0o700 });
    return { path: name, kind: 'folder', mode: 0 };
  }
  if (type === 'symlink') {
    entry.resume();
    // Only an application's data has links, and where they lead is its own affair.
    await symlink(linkname, place);
    return { path: name, kind: 'link', mode: 0, target: linkname };
  }
  if (type !== 'file') throw damaged(path, `${name} is a ${type}`);
  const hash = createHash('sha256');
  let size = 0;
  const file = await open(place, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW, 0o600);
  try {
    for await (const chunk of entry as AsyncIterable<Buffer>) {
      hash.update(chunk);
      size += chunk.byteLength;
      await file.writeFile(chunk);
    }
    await file.sync();
  } finally {
    await file.close();
  }
  return { path: name, kind: 'file', mode: 0, size, sha256: hash.digest('hex') };
}

function parentsOf(name: string): string[] {
  const parts = name.split('/');
  return parts.slice(1).map((_, at) => parts.slice(0, at + 1).join('/'));
}

function isInside(name: string): boolean {
  return name !== '' && !name.startsWith('/') && !name.includes('\0') && name.split('/').every((part) => part !== '' && part !== '.' && part !== '..');
}

function damaged(path: string, why: string, cause?: unknown): CairnError {
  return new CairnError('backup-damaged', `${path} is damaged: ${why}; nothing was restored`, { cause, fix: 'Use another backup' });
}
