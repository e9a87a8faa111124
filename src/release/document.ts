import { z } from 'zod';
import { CairnError, canonicalJson, digestOf, isDigest, parseCanonicalJson, problemsOf, type Digest } from '#core';
import { emptyDescriptor, mediaTypes, type Descriptor, type ImageIndex, type ImageManifest } from '#oci';

export const releaseArtifactType = 'application/vnd.cairn.release.v1+json';
export const documentMediaType = 'application/vnd.cairn.release.document.v1+json';

/** Marks the release document among the entries of the index. */
export const documentAnnotation = 'internal.cairn.document';

const gitHash = z.string().regex(/^([0-9a-f]{40}|[0-9a-f]{64})$/);
const digest = z.custom<Digest>(isDigest, 'not a sha256 digest');
const name = z.string().regex(/^[a-z0-9][a-z0-9-]{0,62}$/);
const timing = { intervalMs: z.int().positive(), threshold: z.int().positive(), deadlineMs: z.int().positive() };
const health = z.union([z.strictObject({ path: z.string().startsWith('/'), ...timing }), z.strictObject({ tcp: z.literal(true), ...timing })]);
const routes = z.array(z.strictObject({ host: z.string().optional(), path: z.string().startsWith('/') })).min(1).optional();
const limits = z.strictObject({ memoryMb: z.int().min(32).optional(), cpus: z.number().min(0.05).max(64).optional() }).optional();
const common = {
  name,
  /** The component's own digest: its one manifest, or the index over its platforms. */
  digest,
  platforms: z.array(z.strictObject({ platform: z.string(), digest })).min(1),
};
const runs = { command: z.array(z.string()).min(1), limits, data: z.array(name).min(1).optional() };
// What is absent stays absent: a field that a later version adds changes the digest of no release that does not use it.
const component = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('web'), ...common, ...runs, health, instances: z.int().positive().max(64), routes }),
  z.strictObject({ kind: z.literal('worker'), ...common, ...runs, instances: z.int().positive().max(64), overlap: z.literal(true).optional() }),
  z.strictObject({ kind: z.literal('cron'), ...common, ...runs, schedule: z.string(), timeoutMs: z.int().positive() }),
  z.strictObject({ kind: z.literal('task'), ...common, ...runs, timeoutMs: z.int().positive() }),
  z.strictObject({ kind: z.literal('files'), ...common, routes }),
]);
const schema = z.strictObject({
  kind: z.literal('release'),
  application: z.string().regex(/^[a-z0-9][a-z0-9-]{0,62}$/),
  /** `changes`: the git tree that was built, where it is not the commit's: what a policy refuses in production. */
  source: z.strictObject({ uri: z.string().nullable(), commit: gitHash, changes: gitHash.optional() }),
  created: z.iso.datetime(),
  toolchain: z.array(z.strictObject({ name: z.string(), version: z.string(), platform: z.string().nullable(), digest })),
  stages: digest,
  components: z.array(component).min(1),
  configuration: z.record(z.string(), z.string()),
  secrets: z.record(z.string(), z.enum(['follow', 'pin'])).optional(),
  /** Data schemas it can run on, and who says which one is there: a command of a component, or a file `DATA/PATH` in a data folder. */
  schema: z.strictObject({ minimum: z.int(), maximum: z.int(), component: name.optional(), command: z.array(z.string()).min(1).optional(), file: z.string().optional() }).nullable(),
  /** How long a promotion of it is watched before it is confirmed; absent: one probe. */
  confirm: z.strictObject({ seconds: z.int().min(0).max(3600) }).optional(),
});

/** All that will run, bound by one digest. Its canonical bytes are the one layer of the document's manifest. */
export type ReleaseDocument = Readonly<z.infer<typeof schema>>;

/** @throws CairnError `malformed-document`: not canonical, unknown keys, or not a release. */
export function parseReleaseDocument(bytes: Uint8Array): ReleaseDocument {
  const parsed = schema.safeParse(parseCanonicalJson(bytes, 'the release document'));
  if (!parsed.success) throw new CairnError('malformed-document', `release document: ${problemsOf(parsed.error)}`);
  return Object.freeze(parsed.data);
}

export type ComponentDocument = ReleaseDocument['components'][number];
type WithManifests<C> = C extends unknown ? Omit<C, 'digest' | 'platforms'> & { readonly manifests: readonly Descriptor[] } : never;

export interface ReleaseInput extends Omit<ReleaseDocument, 'kind' | 'components'> {
  readonly components: readonly WithManifests<ComponentDocument>[];
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
