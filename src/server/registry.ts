import { join } from 'node:path';
import { bundleManifest } from '#attest';
import { CairnError, canonicalJson, digestOf, digestOfStream, exists, isDigest, shortDigest, type Digest } from '#core';
import { emptyBytes, isIndex, mediaTypes, parseManifest, type ContentStore, type Descriptor, type ImageManifest, type Repositories } from '#oci';
import { documentAnnotation, parseReleaseDocument, type Registry, type ReleaseDocument } from '#release';
import { composeContent, unpackLayer } from '#targets';

/** The release room's Registry over the embedded content store. `unpacked` holds layers and contents, each by digest. */
export function embeddedRegistry(options: { repositories: Repositories; store: ContentStore; unpacked: string }): Registry {
  const { repositories, store, unpacked } = options;

  async function imageManifest(name: string, digest: Digest): Promise<ImageManifest> {
    const { bytes, mediaType } = await repositories.getManifest(name, digest);
    const manifest = parseManifest(bytes, mediaType);
    if (isIndex(manifest)) throw new CairnError('malformed-document', `${digest} is an index, an image manifest was expected`);
    return manifest;
  }

  /** A digest never means anything else: what was read and checked once is kept, the newest few hundred. */
  const documents = new Map<string, ReleaseDocument>();

  return {
    async document(application, release) {
      const known = documents.get(`${application}@${release}`);
      if (known !== undefined) return known;
      const { bytes, mediaType } = await repositories.getManifest(application, release);
      const index = parseManifest(bytes, mediaType);
      const entry = isIndex(index) ? index.manifests.find((one) => one.annotations?.[documentAnnotation] !== undefined) : undefined;
      if (!isIndex(index) || entry === undefined) throw new CairnError('unknown-reference', `${release} is no release of ${application}`, { fix: 'cairn status' });
      const manifest = await imageManifest(application, entry.digest);
      const [layer] = manifest.layers;
      if (layer === undefined) throw new CairnError('malformed-document', `the release ${release} has no document`);
      const document = parseReleaseDocument(await store.read(layer.digest));
      requireMembers(document.components.flatMap((one) => one.platforms.map(({ digest }) => digest)), index.manifests, release);
      if (document.application !== application) throw new CairnError('malformed-document', `the release ${release} is of ${document.application}, not of ${application}`);
      if (documents.size >= 256) documents.delete(documents.keys().next().value ?? '');
      documents.set(`${application}@${release}`, document);
      return document;
    },

    async rehash(application, release) {
      const seen = new Set<Digest>();
      let bytes = 0;
      const check = async (descriptor: { digest: Digest; size: number }): Promise<void> => {
        if (seen.has(descriptor.digest)) return;
        seen.add(descriptor.digest);
        const { digest, size } = await digestOfStream(await store.stream(descriptor.digest));
        if (digest !== descriptor.digest || size !== descriptor.size) throw new CairnError('digest-mismatch', `the stored blob ${shortDigest(descriptor.digest)} of ${application} ${shortDigest(release)} has the digest ${shortDigest(digest)}`);
        bytes += size;
      };
      const { bytes: body, mediaType } = await repositories.getManifest(application, release);
      const index = parseManifest(body, mediaType);
      for (const entry of isIndex(index) ? index.manifests : []) {
        const manifest = await imageManifest(application, entry.digest);
        for (const one of [manifest.config, ...manifest.layers]) await check(one);
      }
      return { blobs: seen.size, bytes };
    },

    async unpack(application, component) {
      const target = join(unpacked, 'contents', component.slice(7));
      if (await exists(target)) return target;
      const manifest = await imageManifest(application, component);
      const folders: string[] = [];
      for (const layer of manifest.layers) {
        const folder = join(unpacked, 'layers', layer.digest.slice(7));
        if (!(await exists(folder))) await unpackLayer(await store.stream(layer.digest), layer.digest, folder);
        folders.push(folder);
      }
      await composeContent(folders, target);
      return target;
    },

    async attach(application, statement) {
      const bytes = canonicalJson(statement.bundle);
      const created = `${new Date(statement.time * 1000).toISOString().slice(0, 19)}Z`;
      for (const subject of statement.statement.subject) {
        const digest = `sha256:${subject.digest.sha256}`;
        const found = isDigest(digest) ? await repositories.getManifest(application, digest).catch(absent) : undefined;
        if (found === undefined) continue;
        const blob = await store.write(bytes);
        await store.write(emptyBytes);
        const about: Descriptor = { mediaType: found.mediaType, digest: found.digest, size: found.bytes.byteLength };
        const manifest = bundleManifest(about, blob, statement.statement.predicateType, created);
        await repositories.putManifest(application, digestOf(manifest), manifest, mediaTypes.imageManifest);
      }
    },
  };
}

/** The document may only name what the index carries: else a copy of the release would leave something behind. */
function requireMembers(named: readonly Digest[], members: readonly Descriptor[], release: Digest): void {
  const carried = new Set(members.map(({ digest }) => digest));
  const missing = named.find((digest) => !carried.has(digest));
  if (missing !== undefined) throw new CairnError('malformed-document', `the release ${release} names ${missing} and does not carry it`);
}

function absent(error: unknown): undefined {
  if (error instanceof CairnError && error.code === 'not-found') return undefined;
  throw error;
}
