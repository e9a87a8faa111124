import { digestOf, type Digest } from '#core';
import { emptyDescriptor, isIndex, parseManifest, type Descriptor } from '#oci';
import { documentAnnotation, parseReleaseDocument, type ReleaseDocument } from '#release';
import { refused, releasePath, type CapsuleAbout, type CapsuleFiles } from './capsule-form.ts';

/** Where the release's manifests come from: a registry when a capsule is made, the capsule when it is checked. Bytes are hashed by the caller. */
export interface ReleaseSource {
  manifest(digest: Digest): Promise<Buffer>;
  blob(digest: Digest): Promise<Buffer>;
}

export interface ReleaseParts {
  readonly document: ReleaseDocument;
  /** Digests of components, and of each of their platforms' manifests. */
  readonly components: readonly Digest[];
  /** What the capsule holds of it. */
  readonly files: ReadonlyMap<string, Buffer>;
  /** What it names and the capsule leaves out. */
  readonly without: readonly { readonly digest: Digest; readonly size: number }[];
}

/**
 * The release from its digest down: index, document, manifest of every component on every platform. Each is hashed, and what the document
 * names the index must carry. Layers stay where they are: their digests are bound by what is here.
 * @throws CairnError `verification-failed`, `malformed-document`
 */
export async function chainRelease(source: ReleaseSource, application: string, release: Digest): Promise<ReleaseParts> {
  const files = new Map<string, Buffer>();
  const without = new Map<Digest, number>();
  const read = async (digest: Digest, reading: Promise<Buffer>): Promise<Buffer> => {
    const bytes = await reading;
    if (digestOf(bytes) !== digest) throw refused('digest-mismatch', `what stands as ${digest.slice(7, 19)} hashes to ${digestOf(bytes).slice(7, 19)}`);
    files.set(releasePath(digest), bytes);
    return bytes;
  };
  const index = parseManifest(await read(release, source.manifest(release)));
  const entry = isIndex(index) ? index.manifests.find(({ annotations }) => annotations?.[documentAnnotation] !== undefined) : undefined;
  if (!isIndex(index) || entry === undefined) throw refused('release-malformed', `${release.slice(7, 19)} is no release`);
  const leaveOut = (blobs: readonly Descriptor[]) => {
    for (const { digest, size } of blobs) if (digest !== emptyDescriptor.digest) without.set(digest, size);
  };
  const described = parseManifest(await read(entry.digest, source.manifest(entry.digest)));
  const [layer] = isIndex(described) ? [] : described.layers;
  if (layer === undefined) throw refused('release-malformed', 'the release has no document');
  const document = parseReleaseDocument(await read(layer.digest, source.blob(layer.digest)));
  if (document.application !== application) throw refused('other-release', `the release is of ${document.application}, not of ${application}`);
  const carried = new Set(index.manifests.map(({ digest }) => digest));
  for (const { digest, platforms } of document.components) {
    // A component for several platforms has an index of its own, which stands beside the release.
    if (!platforms.some((one) => one.digest === digest)) await read(digest, source.manifest(digest));
    for (const platform of platforms) {
      if (!carried.has(platform.digest)) throw refused('release-malformed', `the release names ${platform.digest.slice(7, 19)} and does not carry it`);
      const manifest = parseManifest(await read(platform.digest, source.manifest(platform.digest)));
      if (isIndex(manifest)) throw refused('release-malformed', `${platform.digest.slice(7, 19)} is an index, an image manifest was expected`);
      leaveOut([manifest.config, ...manifest.layers]);
    }
  }
  const components = [...new Set(document.components.flatMap((one) => [one.digest, ...one.platforms.map(({ digest }) => digest)]))];
  return { document, components, files, without: [...without].map(([digest, size]) => ({ digest, size })).toSorted((a, b) => (a.digest < b.digest ? -1 : 1)) };
}

/** The release as a capsule has it: all that its digest leads to, and nothing beside. */
export async function checkRelease(files: CapsuleFiles, about: CapsuleAbout): Promise<ReleaseParts> {
  const own = async (digest: Digest): Promise<Buffer> => {
    const bytes = files.get(releasePath(digest));
    if (bytes === undefined) throw refused('release-malformed', `the release leads to ${digest.slice(7, 19)}, which the capsule lacks`);
    return bytes;
  };
  const parts = await chainRelease({ manifest: own, blob: own }, about.application, about.release);
  const stray = [...files.keys()].find((path) => path.startsWith('release/') && !parts.files.has(path));
  if (stray !== undefined) throw refused('stray-file', `${stray} is no part of the release`);
  if (JSON.stringify(parts.without) !== JSON.stringify(about.without)) throw refused('stray-file', 'it names other layers than the release does');
  return parts;
}
