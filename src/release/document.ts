import { z } from 'zod';
import { CairnError, canonicalJson, digestOf, isDigest, parseCanonicalJson, type Digest } from '#core';
import { emptyDescriptor, mediaTypes, type Descriptor, type ImageIndex, type ImageManifest } from '#oci';

export const releaseArtifactType = 'application/vnd.cairn.release.v1+json';
export const documentMediaType = 'application/vnd.cairn.release.document.v1+json';

/** Marks the release document among the entries of the index. */
export const documentAnnotation = 'internal.cairn.document';

const digest = z.custom<Digest>(isDigest, 'not a sha256 digest');
const health = z.strictObject({ path: z.string().startsWith('/'), intervalMs: z.int().positive(), threshold: z.int().positive(), deadlineMs: z.int().positive() });
const component = z.strictObject({
  name: z.string().regex(/^[a-z0-9][a-z0-9-]{0,62}$/),
  kind: z.literal('web'),
  /** The component's own digest: its one manifest, or the index over its platforms. */
  digest,
  platforms: z.array(z.strictObject({ platform: z.string(), digest })).min(1),
  command: z.array(z.string()).min(1),
  health,
  instances: z.int().positive().max(64),
});
const schema = z.strictObject({
  kind: z.literal('release'),
  application: z.string().regex(/^[a-z0-9][a-z0-9-]{0,62}$/),
  source: z.strictObject({ uri: z.string().nullable(), commit: z.string().regex(/^([0-9a-f]{40}|[0-9a-f]{64})$/) }),
  created: z.iso.datetime(),
  toolchain: z.array(z.strictObject({ name: z.string(), version: z.string(), platform: z.string().nullable(), digest })),
  stages: digest,
  components: z.array(component).min(1),
  configuration: z.record(z.string(), z.string()),
  schema: z.strictObject({ minimum: z.int(), maximum: z.int() }).nullable(),
});

/** All that will run, bound by one digest. Its canonical bytes are the one layer of the document's manifest. */
export type ReleaseDocument = Readonly<z.infer<typeof schema>>;

/** @throws CairnError `malformed-document`: not canonical, unknown keys, or not a release. */
export function parseReleaseDocument(bytes: Uint8Array): ReleaseDocument {
  const parsed = schema.safeParse(parseCanonicalJson(bytes, 'the release document'));
  if (!parsed.success) throw new CairnError('malformed-document', `release document: ${z.prettifyError(parsed.error)}`);
  return Object.freeze(parsed.data);
}

export interface ReleaseInput extends Omit<ReleaseDocument, 'kind' | 'components'> {
  readonly components: readonly (Omit<ReleaseDocument['components'][number], 'digest' | 'platforms'> & { readonly manifests: readonly Descriptor[] })[];
}

export interface ReleaseBlobs {
  readonly document: ReleaseDocument;
  readonly documentBytes: Buffer;
  readonly documentManifest: Buffer;
  /** Indexes of components with several platforms: pushed beside the release, never nested in it. */
  readonly componentIndexes: readonly Buffer[];
  readonly index: Buffer;
  readonly digest: Digest;
}

/** Makes the release from its parts. Pure: the same input gives the same digest on any machine. */
export function makeRelease(input: ReleaseInput): ReleaseBlobs {
  const components = [...input.components].toSorted((a, b) => order(a.name, b.name)).map((one) => {
    const manifests = [...one.manifests].toSorted((a, b) => order(platformName(a), platformName(b)));
    const index = manifests.length > 1 ? canonicalJson({ schemaVersion: 2, mediaType: mediaTypes.imageIndex, manifests } satisfies ImageIndex) : undefined;
    return { ...one, manifests, index };
  });
  const document = parseReleaseDocument(
    canonicalJson({
      ...input,
      kind: 'release',
      components: components.map(({ manifests, index, ...one }) => ({
        ...one,
        digest: index === undefined ? manifests[0]?.digest : digestOf(index),
        platforms: manifests.map((manifest) => ({ platform: platformName(manifest), digest: manifest.digest })),
      })),
    }),
  );
  const documentBytes = canonicalJson(document);
  const documentManifest = canonicalJson({
    schemaVersion: 2,
    mediaType: mediaTypes.imageManifest,
    artifactType: documentMediaType,
    config: emptyDescriptor,
    layers: [{ mediaType: documentMediaType, digest: digestOf(documentBytes), size: documentBytes.byteLength }],
  } satisfies ImageManifest);
  const index = canonicalJson({
    schemaVersion: 2,
    mediaType: mediaTypes.imageIndex,
    artifactType: releaseArtifactType,
    manifests: [...components.flatMap(({ name, manifests }) => manifests.map((manifest) => componentDescriptor(name, manifest))), documentDescriptor(documentManifest)],
    annotations: annotations(document),
  } satisfies ImageIndex);
  const componentIndexes = components.flatMap((one) => (one.index === undefined ? [] : [one.index]));
  return { document, documentBytes, documentManifest, componentIndexes, index, digest: digestOf(index) };
}

function componentDescriptor(name: string, manifest: Descriptor): Descriptor {
  const { mediaType, digest: of, size, platform } = manifest;
  return { mediaType, digest: of, size, ...(platform && { platform }), annotations: { 'internal.cairn.component': name } };
}

/**
 * `unknown/unknown` is how the field marks what no platform should ever be asked to run. The descriptor bears no
 * artifactType: skopeo drops that field from an index's entries and so would change the release digest on the way.
 */
function documentDescriptor(manifest: Buffer): Descriptor {
  return {
    mediaType: mediaTypes.imageManifest,
    digest: digestOf(manifest),
    size: manifest.byteLength,
    platform: { os: 'unknown', architecture: 'unknown' },
    annotations: { [documentAnnotation]: 'v1' },
  };
}

function annotations(document: ReleaseDocument): Record<string, string> {
  return {
    'org.opencontainers.image.created': document.created,
    'org.opencontainers.image.revision': document.source.commit,
    ...(document.source.uri !== null && { 'org.opencontainers.image.source': document.source.uri }),
  };
}

function platformName(descriptor: Descriptor): string {
  if (descriptor.platform === undefined) throw new CairnError('malformed-document', 'a component manifest names no platform');
  return `${descriptor.platform.os}/${descriptor.platform.architecture}`;
}

/** By code unit, never by locale. */
function order(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
