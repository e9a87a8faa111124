import { randomBytes } from 'node:crypto';
import { link, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { CairnError, digestOf, exists, fsyncDirectory, noFaults, parseDigest, type Digest, type Faults } from '#core';
import {
  isIndex,
  isManifestType,
  parseManifest,
  referrerDescriptor,
  type Descriptor,
  type ImageIndex,
  type ImageManifest,
} from './descriptor.ts';
import { DurableFolders } from './folders.ts';
import { checkRepositoryName, isEvidenceTag, parseReference } from './names.ts';
import type { Repositories, StoredManifest } from './repository.ts';
import type { ContentStore } from './store.ts';

/**
 * In `directory`, where no part of a repository's name can start with `_`:
 * `<name>/_manifests/<hex>` holds the media type, `<name>/_tags/<tag>` the digest, `<name>/_referrers/<hex>/<hex>` is empty.
 * Manifests' bytes are in the store. Every file is written whole beside its place (`.new-*`, which is no tag and no digest),
 * synchronised, and then linked or renamed there, so that no reader ever sees half of one.
 *
 * Blobs belong to no repository: any that the store has is served under any name. Who can name a digest has seen the content or
 * what vouches for it, and all repositories of one registry have the same readers; links would guard nothing and cost a write.
 */
export function fileRepositories(directory: string, store: ContentStore, faults: Faults = noFaults): Repositories {
  const folders = new DurableFolders(directory);

  async function place(folder: string, name: string, text: string, once: boolean): Promise<'placed' | 'taken'> {
    const temporary = join(folder, `.new-${randomBytes(12).toString('hex')}`);
    try {
      const file = await open(temporary, 'wx');
      try {
        await file.writeFile(text);
        await file.sync();
      } finally {
        await file.close();
      }
      faults.point('oci.name.written');
      const taken = once ? await linkOnce(temporary, join(folder, name)) : await rename(temporary, join(folder, name));
      faults.point('oci.name.placed');
      // Also for the loser of a race: it answers for what the winner may not have synchronised yet.
      await fsyncDirectory(folder);
      return taken ?? 'placed';
    } finally {
      await rm(temporary, { force: true });
    }
  }

  async function checkPresent(name: string, descriptor: Descriptor): Promise<void> {
    const child = isManifestType(descriptor.mediaType);
    const size = await store.size(descriptor.digest);
    if (size === undefined || (child && !(await exists(manifestPath(directory, name, descriptor.digest))))) {
      throw new CairnError('not-found', `The manifest names ${descriptor.digest}, which is not in ${name}`, {
        fix: 'Push blobs and child manifests before the manifest that names them',
        context: { digest: descriptor.digest, mediaType: descriptor.mediaType },
      });
    }
    if (size !== descriptor.size) {
      throw new CairnError('malformed-document', `The manifest gives ${descriptor.digest} ${descriptor.size} bytes; it has ${size}`);
    }
  }

  async function tag(name: string, label: string, digest: Digest): Promise<void> {
    const folder = await folders.ensure(...name.split('/'), '_tags');
    const result = await place(folder, label, digest, !isEvidenceTag(label));
    if (result === 'placed') return;
    const held = parseDigest(await readFile(join(folder, label), 'utf8'));
    if (held === digest) return;
    throw new CairnError('tag-immutable', `${name}:${label} is ${held} already, and a tag is written once`, {
      fix: 'Push under a new tag, or by digest',
      context: { held, digest },
    });
  }

  async function getManifest(name: string, reference: string): Promise<StoredManifest> {
    checkRepositoryName(name);
    const parsed = parseReference(reference);
    const digest = 'tag' in parsed ? await readTag(directory, name, parsed.tag) : parsed.digest;
    const mediaType = digest && (await readIfThere(manifestPath(directory, name, digest)));
    if (digest === undefined || mediaType === undefined) {
      throw new CairnError('not-found', `${name} has no manifest ${reference}`, { context: { name, reference } });
    }
    return { bytes: await store.read(digest), mediaType, digest };
  }

  async function* eachReferrer(name: string, subject: Digest, after: string): AsyncGenerator<Descriptor> {
    checkRepositoryName(name);
    for (const hex of await namesIn(join(directory, name, '_referrers', subject.slice(7)))) {
      const digest = parseDigest(`sha256:${hex}`);
      if (digest <= after || !(await exists(manifestPath(directory, name, digest)))) continue;
      const { bytes, mediaType } = await getManifest(name, digest);
      yield referrerDescriptor(parseManifest(bytes, mediaType), digest, bytes.byteLength);
    }
  }

  return {
    getManifest,

    async putManifest(name, reference, bytes, mediaType) {
      checkRepositoryName(name);
      const target = parseReference(reference);
      const document = parseManifest(bytes, mediaType);
      const digest = digestOf(bytes);
      if ('digest' in target && target.digest !== digest) {
        throw new CairnError('digest-mismatch', `A manifest announced as ${target.digest} is ${digest}`);
      }
      for (const descriptor of named(document)) await checkPresent(name, descriptor);
      await store.write(bytes, digest);
      const path = name.split('/');
      const subject = document.subject?.digest;
      // The entry among the referrers comes first: clients ask whether a manifest is there and skip the push if so, thus a crash
      // between the two must not leave a manifest that is never listed. A list leaves out what has no manifest yet.
      // The media type is written once: bytes that leave it out must not change their kind under those who pulled them.
      if (subject !== undefined) await place(await folders.ensure(...path, '_referrers', subject.slice(7)), digest.slice(7), '', false);
      await place(await folders.ensure(...path, '_manifests'), digest.slice(7), document.mediaType, true);
      if ('tag' in target) await tag(name, target.tag, digest);
      return subject === undefined ? { digest } : { digest, subject };
    },

    blobSize: async (name, digest) => store.size((checkRepositoryName(name), digest)),

    async tags(name) {
      checkRepositoryName(name);
      const listed = await namesIn(join(directory, name, '_tags'));
      if (listed.length === 0 && !(await exists(join(directory, name, '_manifests')))) {
        throw new CairnError('not-found', `There is no repository ${name}`, { context: { name } });
      }
      return listed;
    },

    eachReferrer,

    async *arrivals(name, subject, skip) {
      checkRepositoryName(name);
      const folder = join(directory, name, '_referrers', subject.slice(7));
      const names = (await namesIn(folder)).filter((hex) => !skip(parseDigest(`sha256:${hex}`)));
      for (let at = 0; at < names.length; at += statsAtOnce) {
        const found = await Promise.all(names.slice(at, at + statsAtOnce).map(async (hex) => ({ hex, at: (await stat(join(folder, hex)).catch(ifAbsent(undefined)))?.mtimeMs })));
        for (const one of found) if (one.at !== undefined) yield { digest: parseDigest(`sha256:${one.hex}`), at: one.at };
      }
    },

    referrers: (name, subject) => Array.fromAsync(eachReferrer(name, subject, '')),
  };
}

const statsAtOnce = 128;

/** What must be there before the manifest is. */
function named(document: ImageManifest | ImageIndex): readonly Descriptor[] {
  return isIndex(document) ? document.manifests : [document.config, ...document.layers];
}

/** link(2) fails where the name exists: of racing writers, the file system picks the one winner. */
async function linkOnce(from: string, to: string): Promise<'placed' | 'taken'> {
  try {
    await link(from, to);
    return 'placed';
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return 'taken';
    throw error;
  }
}

function manifestPath(directory: string, name: string, digest: Digest): string {
  return join(directory, name, '_manifests', digest.slice(7));
}

async function readTag(directory: string, name: string, tag: string): Promise<Digest | undefined> {
  const held = await readIfThere(join(directory, name, '_tags', tag));
  return held === undefined ? undefined : parseDigest(held);
}

async function readIfThere(path: string): Promise<string | undefined> {
  return readFile(path, 'utf8').catch(ifAbsent(undefined));
}

async function namesIn(folder: string): Promise<string[]> {
  const names = await readdir(folder).catch(ifAbsent([]));
  return names.filter((name) => !name.startsWith('.')).toSorted();
}

function ifAbsent<T>(value: T): (error: NodeJS.ErrnoException) => T {
  return (error) => {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return value;
    throw error;
  };
}
