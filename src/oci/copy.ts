import { CairnError, type Digest } from '#core';
import type { RegistryClient } from './client.ts';
import { isIndex, isManifestType, manifestLimit, parseManifest, type Descriptor } from './descriptor.ts';
import type { ContentStore } from './store.ts';

/** Nested deeper than anything real; a made-up chain of indexes ends here. */
const deepest = 8;

/**
 * Pushes a manifest or an index with all that it names, children first, so that a registry never holds a manifest whose parts
 * are missing and a copy that broke off is carried on by calling again. Manifests are hashed as they are read here, blobs by
 * the registry that takes them. Referrers do not come along: they are evidence, which the ledger attaches.
 */
export async function copyTree(
  source: ContentStore,
  client: RegistryClient,
  root: Descriptor,
): Promise<{ manifests: number; blobs: number; bytes: number }> {
  const done = new Set<Digest>();
  const sent = { manifests: 0, blobs: 0, bytes: 0 };

  async function copyBlob({ digest, size }: Descriptor): Promise<void> {
    if (!(await client.pushBlob(digest, size, () => source.stream(digest)))) return;
    sent.blobs += 1;
    sent.bytes += size;
  }

  async function copyManifest(descriptor: Descriptor, depth: number): Promise<void> {
    if (depth > deepest) throw new CairnError('malformed-document', `${root.digest} is nested deeper than ${deepest}`);
    const bytes = await source.read(descriptor.digest, manifestLimit);
    const document = parseManifest(bytes, descriptor.mediaType);
    for (const child of isIndex(document) ? document.manifests : [document.config, ...document.layers]) await copy(child, depth + 1);
    if (await client.hasManifest(descriptor.digest)) return;
    await client.pushManifest(bytes, document.mediaType);
    sent.manifests += 1;
    sent.bytes += bytes.byteLength;
  }

  async function copy(descriptor: Descriptor, depth: number): Promise<void> {
    if (done.has(descriptor.digest)) return;
    await (isManifestType(descriptor.mediaType) ? copyManifest(descriptor, depth) : copyBlob(descriptor));
    done.add(descriptor.digest);
  }

  await copy(root, 0);
  return sent;
}
