import { createHash, randomBytes } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open, readFile, rename, rm, stat, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { fsyncDirectory, noFaults, type Digest, type Faults } from '#core';
import { DurableFolders } from './folders.ts';
import { absent, checkContent, checkExpected, checkSize, readLimit } from './store-checks.ts';
import type { ByteRange, ContentStore } from './store.ts';

/**
 * `blobs/sha256/<2 hex>/<64 hex>` in `directory`. System calls of a write, in order: open(`incoming/*`, O_EXCL) write... fsync
 * close, rename(incoming, blob), open(blob's folder) fsync close. A crash leaves at most a file in `incoming/`, which nothing
 * reads and which may be deleted whenever no process writes.
 */
export function fileStore(directory: string, faults: Faults = noFaults): ContentStore {
  const folders = new DurableFolders(directory);

  async function keep(temporary: string, digest: Digest, size: number): Promise<void> {
    const folder = await folders.ensure('blobs', 'sha256', digest.slice(7, 9));
    // A file of another length is the work of a failing disk: the new one takes its place.
    if ((await sizeOf(pathOf(directory, digest))) === size) await rm(temporary);
    else await rename(temporary, pathOf(directory, digest));
    faults.point('oci.blob.renamed');
    // Also where it was there already: its writer may not have come this far, and we are about to acknowledge.
    await fsyncDirectory(folder);
  }

  return {
    size: (digest) => sizeOf(pathOf(directory, digest)),
    async read(digest, limit = readLimit) {
      const size = await sizeOf(pathOf(directory, digest));
      if (size === undefined) throw absent(digest);
      checkSize(digest, size, limit);
      const bytes = await readFile(pathOf(directory, digest));
      checkContent(digest, bytes);
      return bytes;
    },
    stream: (digest, range) => openStream(directory, digest, range),
    async write(content, expected) {
      const temporary = join(await folders.ensure('incoming'), randomBytes(12).toString('hex'));
      try {
        const file = await open(temporary, 'wx');
        let written: { digest: Digest; size: number };
        try {
          written = await writeAll(file, content);
          checkExpected(written.digest, expected);
          await file.sync();
        } finally {
          await file.close();
        }
        faults.point('oci.blob.written');
        await keep(temporary, written.digest, written.size);
        return written;
      } catch (error) {
        await rm(temporary, { force: true });
        throw error;
      }
    },
  };
}

async function writeAll(
  file: FileHandle,
  content: Uint8Array | AsyncIterable<Uint8Array>,
): Promise<{ digest: Digest; size: number }> {
  const hasher = createHash('sha256');
  let size = 0;
  async function one(chunk: Uint8Array): Promise<void> {
    hasher.update(chunk);
    size += chunk.byteLength;
    await file.writeFile(chunk);
  }
  if (content instanceof Uint8Array) await one(content);
  else for await (const chunk of content) await one(chunk);
  return { digest: `sha256:${hasher.digest('hex')}`, size };
}

async function openStream(directory: string, digest: Digest, range: ByteRange | undefined): Promise<Readable> {
  const stream = createReadStream(pathOf(directory, digest), range);
  // Opened before it is handed over, so that absence is an answer and not an event.
  await new Promise<void>((resolve, reject) => {
    stream.once('open', () => resolve());
    stream.once('error', (error: NodeJS.ErrnoException) => reject(error.code === 'ENOENT' ? absent(digest) : error));
  });
  return stream;
}

/** A `Digest` is checked where it is made, so that its text can't leave the folder. */
function pathOf(directory: string, digest: Digest): string {
  return join(directory, 'blobs', 'sha256', digest.slice(7, 9), digest.slice(7));
}

async function sizeOf(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
