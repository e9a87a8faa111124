import { z } from 'zod';
import { CairnError, isDigest, type Digest } from '#core';
import { parseUnambiguousJson } from './json.ts';

// Manifests, indexes and descriptors: opencontainers/image-spec 1.1 (descriptor.md, manifest.md, image-index.md).

export const mediaTypes = {
  imageManifest: 'application/vnd.oci.image.manifest.v1+json',
  imageIndex: 'application/vnd.oci.image.index.v1+json',
  imageConfig: 'application/vnd.oci.image.config.v1+json',
  layerTar: 'application/vnd.oci.image.layer.v1.tar',
  layerTarGzip: 'application/vnd.oci.image.layer.v1.tar+gzip',
  layerTarZstd: 'application/vnd.oci.image.layer.v1.tar+zstd',
  empty: 'application/vnd.oci.empty.v1+json',
  dockerManifest: 'application/vnd.docker.distribution.manifest.v2+json',
  dockerIndex: 'application/vnd.docker.distribution.manifest.list.v2+json',
} as const;

/** No registry need take more (distribution-spec, "Pushing Manifests"); ours and our client do not. */
export const manifestLimit = 4 << 20;

const manifestTypes: ReadonlySet<string> = new Set([mediaTypes.imageManifest, mediaTypes.dockerManifest]);
const indexTypes: ReadonlySet<string> = new Set([mediaTypes.imageIndex, mediaTypes.dockerIndex]);

export function isManifestType(mediaType: string): boolean {
  return manifestTypes.has(mediaType) || indexTypes.has(mediaType);
}

const text = z.string().max(4096);
const mediaType = text.regex(/^[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]*\/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]*$/);
const annotations = z.record(z.string(), z.string()).readonly();
const platform = z
  .object({ os: text, architecture: text, variant: text.exactOptional(), 'os.version': text.exactOptional() })
  .readonly();
const descriptor = z
  .object({
    mediaType,
    digest: z.custom<Digest>(isDigest, 'not a sha256 digest'),
    size: z.int().nonnegative(),
    artifactType: mediaType.exactOptional(),
    annotations: annotations.exactOptional(),
    platform: platform.exactOptional(),
  })
  .readonly();
const common = {
  schemaVersion: z.literal(2),
  artifactType: mediaType.exactOptional(),
  subject: descriptor.exactOptional(),
  annotations: annotations.exactOptional(),
};
const imageManifest = z
  .object({ ...common, mediaType, config: descriptor, layers: z.array(descriptor).readonly(), manifests: z.undefined().exactOptional() })
  .readonly();
const imageIndex = z
  .object({
    ...common,
    mediaType,
    manifests: z.array(descriptor).readonly(),
    config: z.undefined().exactOptional(),
    layers: z.undefined().exactOptional(),
  })
  .readonly();

export type Platform = z.infer<typeof platform>;
export type Descriptor = z.infer<typeof descriptor>;
export type ImageManifest = Omit<z.infer<typeof imageManifest>, 'manifests'>;
export type ImageIndex = Omit<z.infer<typeof imageIndex>, 'config' | 'layers'>;

export const emptyBytes: Uint8Array = Buffer.from('{}');
export const emptyDescriptor: Descriptor = Object.freeze({
  mediaType: mediaTypes.empty,
  digest: 'sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a',
  size: 2,
});

const fields = new Set([
  ...Object.keys(imageManifest.unwrap().shape),
  ...Object.keys(descriptor.unwrap().shape),
  ...Object.keys(platform.unwrap().shape),
]);
const free = new Set(['annotations']);

/**
 * Parses what a stranger pushed or a registry served. Two attacks are met here: a document that is a manifest to one reader and
 * an index to another (it carries `layers` and `manifests`, or is served under the other's content type), and one whose keys
 * readers take differently (json.ts). Unknown fields are ignored, as the specification demands; `mediaType` is filled in
 * from the content type where the document leaves it out.
 * @param contentType of the request or answer that carried the bytes, without parameters
 * @throws CairnError `malformed-document`
 */
export function parseManifest(bytes: Uint8Array, contentType?: string): ImageManifest | ImageIndex {
  if (bytes.byteLength > manifestLimit) {
    throw malformed(`A manifest has ${bytes.byteLength} bytes, more than the ${manifestLimit} allowed`);
  }
  const value = parseUnambiguousJson(bytes, 'A manifest', fields, free);
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw malformed('A manifest is not a JSON object');
  const stated: unknown = 'mediaType' in value ? value.mediaType : contentType;
  const type = stated ?? ('manifests' in value ? mediaTypes.imageIndex : mediaTypes.imageManifest);
  if (contentType !== undefined && contentType !== type) {
    throw malformed(`A manifest says it is ${JSON.stringify(type)?.slice(0, 100)}, and was sent as ${contentType.slice(0, 100)}`);
  }
  if (typeof type !== 'string' || !isManifestType(type)) {
    throw malformed(`${JSON.stringify(type)?.slice(0, 100)} is not the media type of a manifest or an index`);
  }
  const parsed = (indexTypes.has(type) ? imageIndex : imageManifest).safeParse({ ...value, mediaType: type });
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    throw malformed(`A manifest is malformed at ${issue?.path.join('.')}: ${issue?.message}`, parsed.error);
  }
  return parsed.data;
}

export function isIndex(document: ImageManifest | ImageIndex): document is ImageIndex {
  return indexTypes.has(document.mediaType);
}

/**
 * How a referrers list shows a manifest (distribution-spec, "Listing Referrers"): with its annotations, and with the type of
 * its config where it has no artifact type of its own.
 */
export function referrerDescriptor(document: ImageManifest | ImageIndex, digest: Digest, size: number): Descriptor {
  const artifactType = document.artifactType ?? (isIndex(document) ? undefined : document.config.mediaType);
  return Object.freeze({
    mediaType: document.mediaType,
    digest,
    size,
    ...(artifactType === undefined ? {} : { artifactType }),
    ...(document.annotations === undefined ? {} : { annotations: document.annotations }),
  });
}

function malformed(message: string, cause?: unknown): CairnError {
  return new CairnError('malformed-document', message, { cause });
}
