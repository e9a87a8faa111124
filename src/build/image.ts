import { canonicalJson, digestOf } from '#core';
import { mediaTypes, type ContentStore, type Descriptor, type ImageManifest, type Platform } from '#oci';
import type { Layer } from './layer.ts';

/** An image of the layers. Neither commit nor clock, host or path is in it: an untouched component keeps its digest. */
export async function imageOf(layers: readonly Layer[], command: readonly string[] | undefined, platform: Platform, store: ContentStore): Promise<Descriptor> {
  const created = '1980-01-01T00:00:00Z';
  const config = canonicalJson({
    created,
    architecture: platform.architecture,
    os: platform.os,
    config: { ...(command !== undefined && { Cmd: command }), Env: ['PATH=/runtime/bin:/usr/bin:/bin'], WorkingDir: '/app' },
    rootfs: { type: 'layers', diff_ids: layers.map((layer) => layer.diffId) },
    history: layers.map((layer) => ({ created, created_by: `cairn stage ${layer.stage}` })),
  });
  await store.write(config);
  const manifest = canonicalJson({
    schemaVersion: 2,
    mediaType: mediaTypes.imageManifest,
    config: { mediaType: mediaTypes.imageConfig, digest: digestOf(config), size: config.byteLength },
    layers: layers.map((layer) => layer.descriptor),
  } satisfies ImageManifest);
  await store.write(manifest);
  return { mediaType: mediaTypes.imageManifest, digest: digestOf(manifest), size: manifest.byteLength, platform };
}
