import { createHash } from 'node:crypto';
import { constants, createReadStream } from 'node:fs';
import { chmod, chown, mkdir, open, symlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { extract, type ExtractEvents } from 'tar-stream';
import { CairnError } from '#core';
import { manifestName, type Archived } from './archive-write.ts';

const manifestLimit = 1 << 30;

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
