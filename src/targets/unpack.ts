import { createHash, type Hash } from 'node:crypto';
import { link, mkdir, open, rm, symlink } from 'node:fs/promises';
import { join, posix } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { extract, type ExtractEvents } from 'tar-stream';
import { CairnError, type Digest } from '#core';
import { checkLinkTarget, entryPath, refuseEntry } from './entry-path.ts';
import { makeFinished } from './finished-folder.ts';

type Entry = ExtractEvents['entry'][1];

export interface UnpackLimits {
  /** Of all files together: a few kilobytes of gzip can hold terabytes of zeroes. */
  readonly bytes: number;
  readonly entries: number;
}

const usualLimits: UnpackLimits = { bytes: 16 * 2 ** 30, entries: 1_000_000 };

/**
 * Unpacks a layer into `directory`, which appears only when every compressed byte was seen and has the digest. Files become
 * 0444 or 0555 and folders 0555, whatever the archive says; owners and times are not kept. Where `directory` exists already it was
 * verified when it was made, and the stream is not read.
 * @throws CairnError `digest-mismatch`, `malformed-document`
 */
export async function unpackLayer(
  gzipTarStream: AsyncIterable<Uint8Array>,
  expected: Digest,
  directory: string,
  limits: UnpackLimits = usualLimits,
): Promise<void> {
  await makeFinished(directory, async (root) => {
    const hash = createHash('sha256');
    const unpacking = new Unpacking(root, limits);
    const archive = extract();
    // The pipeline ends with the last byte of the source, so that bytes behind the archive are hashed too.
    let failed: { readonly cause: unknown } | undefined;
    const source = hashed(gzipTarStream, hash, (cause) => (failed = { cause }));
    const feeding = pipeline(Readable.from(source), createGunzip(), archive);
    feeding.catch(() => {});
    try {
      for await (const entry of archive) await unpacking.add(entry);
      await feeding;
    } catch (error) {
      archive.destroy();
      // The source's own failure (a broken download) says nothing about the layer.
      throw failed === undefined ? asRefusal(error, expected) : failed.cause;
    }
    const actual: Digest = `sha256:${hash.digest('hex')}`;
    if (actual !== expected) throw new CairnError('digest-mismatch', `the layer has the digest ${actual}, not ${expected}`);
    return unpacking.directories();
  });
}

async function* hashed(source: AsyncIterable<Uint8Array>, hash: Hash, failed: (cause: unknown) => void): AsyncGenerator<Uint8Array> {
  try {
    for await (const chunk of source) {
      hash.update(chunk);
      yield chunk;
    }
  } catch (error) {
    failed(error);
    throw error;
  }
}

/** Errors of gunzip and of the tar reader are the archive's fault; those of the disk stay what they are. */
function asRefusal(error: unknown, digest: Digest): unknown {
  if (error instanceof CairnError) return error;
  if ((error as NodeJS.ErrnoException).syscall !== undefined) return error;
  return new CairnError('malformed-document', `the layer ${digest} is not a gzip'd tar archive`, { cause: error });
}

/** The archive's entries so far. What was made is known from here, never asked of the disk, where a link could lie. */
class Unpacking {
  readonly #root: string;
  readonly #limits: UnpackLimits;
  readonly #made = new Map<string, 'directory' | 'file' | 'symlink'>();
  #bytes = 0;
  #entries = 0;

  constructor(root: string, limits: UnpackLimits) {
    this.#root = root;
    this.#limits = limits;
  }

  directories(): string[] {
    return [...this.#made].flatMap(([path, type]) => (type === 'directory' ? [path] : []));
  }

  async add(entry: Entry): Promise<void> {
    const { name, type, size, linkname, mode } = entry.header;
    this.#bytes += size;
    if (++this.#entries > this.#limits.entries) throw refuseEntry(name, `is one more than the ${this.#limits.entries} allowed`);
    if (this.#bytes > this.#limits.bytes) throw refuseEntry(name, `makes the layer larger than the ${this.#limits.bytes} bytes allowed`);
    const path = entryPath(name);
    switch (type) {
      case 'directory':
        await this.#directory(path, name);
        break;
      case 'file':
      case 'contiguous-file':
        await this.#place(path, 'file', name);
        await this.#write(path, mode, entry);
        return;
      case 'symlink':
        checkLinkTarget(path, linkname);
        await this.#place(path, 'symlink', name);
        await symlink(linkname, join(this.#root, path));
        break;
      case 'link': {
        const target = entryPath(linkname);
        // Of a link it would be a second name for whatever that leads to.
        if (this.#made.get(target) !== 'file') throw refuseEntry(name, 'is a hard link to what is no file of the layer so far');
        if (target === path) throw refuseEntry(name, 'is a hard link to itself');
        await this.#place(path, 'file', name);
        await link(join(this.#root, target), join(this.#root, path));
        break;
      }
      default:
        throw refuseEntry(name, `is a ${type ?? 'thing of unknown type'}; only files, folders and links are unpacked`);
    }
    entry.resume();
  }

  async #directory(path: string, name: string): Promise<void> {
    if (path === '') return;
    const there = this.#made.get(path);
    if (there === 'directory') return;
    if (there !== undefined) throw refuseEntry(name, `goes through or replaces a ${there}`);
    await this.#directory(parentOf(path), name);
    await mkdir(join(this.#root, path), { mode: 0o755 });
    this.#made.set(path, 'directory');
  }

  /** Parents are made where the archive leaves them out. A name given twice keeps its type; the later one counts, as with tar. */
  async #place(path: string, type: 'file' | 'symlink', name: string): Promise<void> {
    if (path === '') throw refuseEntry(name, 'would replace the folder itself');
    await this.#directory(parentOf(path), name);
    const there = this.#made.get(path);
    if (there !== undefined && there !== type) throw refuseEntry(name, `replaces a ${there}`);
    if (there !== undefined) await rm(join(this.#root, path));
    this.#made.set(path, type);
  }

  async #write(path: string, mode: number, entry: Entry): Promise<void> {
    // Created anew, never followed: O_EXCL refuses a link as the last part too.
    const file = await open(join(this.#root, path), 'wx', 0o600);
    try {
      for await (const chunk of entry as AsyncIterable<Uint8Array>) await file.writeFile(chunk);
      await file.chmod((mode & 0o111) === 0 ? 0o444 : 0o555);
      await file.sync();
    } finally {
      await file.close();
    }
  }
}

function parentOf(path: string): string {
  const parent = posix.dirname(path);
  return parent === '.' ? '' : parent;
}
