import { z } from 'zod';
import { canonicalJson, malformed, parseStrictJson, problemsOf, type Digest } from '#core';
import { emptyDescriptor, mediaTypes, type Descriptor, type ImageManifest } from '#oci';
import { parseEnvelope, type Envelope } from './dsse.ts';

export const bundleMediaType = 'application/vnd.dev.sigstore.bundle.v0.3+json';

/**
 * A TransparencyLogEntry of Rekor v2. Every field is written: a missing one makes cosign skip the bundle without a word.
 * int64 fields are decimal strings, bytes are base64 (protojson).
 */
export interface LogEntry {
  readonly logIndex: string;
  readonly logId: { readonly keyId: string };
  readonly kindVersion: { readonly kind: 'hashedrekord'; readonly version: '0.0.2' };
  readonly integratedTime: '0';
  readonly inclusionProof: {
    readonly logIndex: string;
    readonly rootHash: string;
    readonly treeSize: string;
    readonly hashes: readonly string[];
    readonly checkpoint: { readonly envelope: string };
  };
  readonly canonicalizedBody: string;
}

/** Sigstore bundle v0.3 with a key: one envelope, one entry (sigstore/protobuf-specs: protos/sigstore_bundle.proto). */
export interface Bundle {
  readonly mediaType: typeof bundleMediaType;
  readonly verificationMaterial: { readonly publicKey: { readonly hint: string }; readonly tlogEntries: readonly [LogEntry] };
  readonly dsseEnvelope: Envelope;
}

/** Bytes of the largest bundle that is read: cosign attaches bills of materials of tens of megabytes. */
export const bundleLimit = 32 << 20;

const decimal = z.string().regex(/^(0|[1-9][0-9]{0,15})$/);
/** A log entry as protojson has it. */
export const logEntry = z.strictObject({
  logIndex: decimal,
  logId: z.strictObject({ keyId: z.string() }),
  kindVersion: z.strictObject({ kind: z.literal('hashedrekord'), version: z.literal('0.0.2') }),
  integratedTime: z.literal('0'),
  inclusionProof: z.strictObject({ logIndex: decimal, rootHash: z.string(), treeSize: decimal, hashes: z.array(z.string()).max(64), checkpoint: z.strictObject({ envelope: z.string().max(65_536) }) }),
  canonicalizedBody: z.string().max(100_000),
});
const schema = z.strictObject({
  mediaType: z.literal(bundleMediaType),
  verificationMaterial: z.strictObject({ publicKey: z.strictObject({ hint: z.string() }), tlogEntries: z.tuple([logEntry]) }),
  dsseEnvelope: z.unknown(),
});

export function makeBundle(envelope: Envelope, hint: string, entry: LogEntry): Bundle {
  const { payload, payloadType, signatures } = envelope;
  const dsseEnvelope: Envelope = { payload, payloadType, signatures: [{ sig: signatures[0].sig }] };
  return { mediaType: bundleMediaType, verificationMaterial: { publicKey: { hint }, tlogEntries: [entry] }, dsseEnvelope };
}

/** Reads a bundle in the form that Cairn writes. @throws CairnError `malformed-document` */
export function parseBundle(bytes: Uint8Array): Bundle {
  const parsed = schema.safeParse(parseStrictJson(bytes, 'the bundle', bundleLimit));
  if (!parsed.success) throw malformed('bundle-malformed', `not a Sigstore bundle v0.3 with key and log entry: ${problemsOf(parsed.error)}`);
  return { ...parsed.data, dsseEnvelope: parseEnvelope(parsed.data.dsseEnvelope) };
}

/** The OCI manifest that attaches a bundle to `subject`, as cosign v3 writes it (sigstore/cosign: specs/BUNDLE_SPEC.md). */
export function bundleManifest(subject: Descriptor, bundle: { digest: Digest; size: number }, predicateType: string, created: string): Buffer {
  const manifest: ImageManifest = {
    schemaVersion: 2,
    mediaType: mediaTypes.imageManifest,
    artifactType: bundleMediaType,
    config: emptyDescriptor,
    layers: [{ mediaType: bundleMediaType, digest: bundle.digest, size: bundle.size }],
    subject: { mediaType: subject.mediaType, digest: subject.digest, size: subject.size },
    annotations: {
      'org.opencontainers.image.created': created,
      'dev.sigstore.bundle.content': 'dsse-envelope',
      'dev.sigstore.bundle.predicateType': predicateType,
    },
  };
  return canonicalJson(manifest);
}
