import { CairnError, digestOfStream, type Digest } from '#core';
import { isIndex, parseManifest, type Descriptor, type RegistryClient } from '#oci';
import { documentAnnotation, parseReleaseDocument, type ComponentDocument, type ReleaseDocument } from '#release';
import type { Ahead } from './ahead.ts';
import { short } from './output.ts';

interface LayerPart {
  readonly stage: string;
  readonly digest: Digest;
  readonly size: number;
}

/** A component on one platform. */
export interface Part {
  readonly component: ComponentDocument;
  readonly platform: string;
  readonly image: Digest;
  readonly layers: readonly LayerPart[];
}

/** A release taken apart: every hash from its digest down to the layers' names checked, the layers' bytes not yet read. */
export interface Anatomy {
  readonly release: Digest;
  readonly document: ReleaseDocument;
  readonly parts: readonly Part[];
  /** All that it is made of but its manifests, each once. */
  readonly blobs: readonly Descriptor[];
  readonly manifests: number;
}

/** @throws CairnError `verification-failed`, `malformed-document`, `digest-mismatch` */
export async function takeApart(registry: RegistryClient, application: string, release: Digest): Promise<Anatomy> {
  const stored = await present(release, registry.manifest(release));
  const index = parseManifest(stored.bytes, stored.mediaType);
  const entry = isIndex(index) ? index.manifests.find(({ annotations }) => annotations?.[documentAnnotation] !== undefined) : undefined;
  if (!isIndex(index) || entry === undefined) throw new CairnError('unknown-reference', `${short(release)} is no release of ${application}`, { fix: 'cairn status' });
  const blobs = new Map<Digest, Descriptor>();
  const described = await image(registry, entry.digest, blobs);
  const [layer] = described.manifest.layers;
  if (layer === undefined) throw new CairnError('malformed-document', `the release ${short(release)} has no document`, { fix: 'cairn audit' });
  const document = parseReleaseDocument(await present(layer.digest, registry.blob(layer.digest)));
  if (document.application !== application) throw new CairnError('verification-failed', `the release ${short(release)} is of ${document.application}, not of ${application}`, { fix: `cairn verify ${document.application}@${release}` });
  const carried = new Set(index.manifests.map(({ digest }) => digest));
  const parts = await Promise.all(document.components.flatMap((component) => component.platforms.map(async ({ platform, digest }): Promise<Part> => {
    // What the document names and the index does not carry would be lost by every copy of the release.
    if (!carried.has(digest)) throw new CairnError('verification-failed', `the release names ${short(digest)} and does not carry it`, { fix: 'cairn audit' });
    const { manifest, stages } = await image(registry, digest, blobs);
    return { component, platform, image: digest, layers: manifest.layers.map((one, at) => ({ stage: stages[at] ?? '', digest: one.digest, size: one.size })) };
  })));
  return { release, document, parts, blobs: [...blobs.values()], manifests: index.manifests.length + 1 };
}

async function image(registry: RegistryClient, digest: Digest, blobs: Map<Digest, Descriptor>) {
  const { bytes, mediaType } = await present(digest, registry.manifest(digest));
  const manifest = parseManifest(bytes, mediaType);
  if (isIndex(manifest)) throw new CairnError('malformed-document', `${short(digest)} is an index, an image manifest was expected`, { fix: 'cairn audit' });
  for (const one of [manifest.config, ...manifest.layers]) blobs.set(one.digest, one);
  const config = JSON.parse((await present(manifest.config.digest, registry.blob(manifest.config.digest))).toString('utf8')) as { history?: { created_by?: string; empty_layer?: boolean }[] };
  const stages = (config.history ?? []).filter(({ empty_layer: empty }) => empty !== true).map(({ created_by: by = '' }) => by.replace(/^cairn stage /, ''));
  return { manifest, stages };
}

/** Reads every blob again and hashes it; what was hashed already is not again. @throws CairnError `digest-mismatch`, `verification-failed` (missing) */
export async function rehash(registry: RegistryClient, blobs: readonly Descriptor[], ahead?: Ahead): Promise<number> {
  let bytes = 0;
  const hashed = await ahead?.();
  for (const { digest, size } of blobs) {
    const found = hashed?.get(digest) ?? (await digestOfStream(await present(digest, registry.blobStream(digest))));
    if (found.digest !== digest || found.size !== size) {
      throw new CairnError('digest-mismatch', `the blob ${short(digest)} has ${found.size} bytes with the digest ${short(found.digest)}`, {
        fix: 'cairn audit names the file and what mends it',
        context: { expected: digest, actual: found.digest },
      });
    }
    bytes += size;
  }
  return bytes;
}

/** What is not there cannot be verified: a refusal, not a question that was asked wrongly. */
async function present<T>(digest: Digest, reading: Promise<T>): Promise<T> {
  return reading.catch((cause: unknown) => {
    if (!(cause instanceof CairnError) || cause.code !== 'not-found') throw cause;
    throw new CairnError('verification-failed', `the registry lacks ${short(digest)}`, { cause, fix: 'Release the commit again: the same bytes get the same digest; or restore a backup' });
  });
}
