import { z } from 'zod';
import { bundleLimit } from '#attest';
import { malformed, parseStrictJson, problemsOf } from '#core';
import { bytes, decimal } from './protojson.ts';

const versions: Readonly<Record<string, 1 | 2 | 3>> = {
  'application/vnd.dev.sigstore.bundle+json;version=0.1': 1,
  'application/vnd.dev.sigstore.bundle+json;version=0.2': 2,
  'application/vnd.dev.sigstore.bundle+json;version=0.3': 3,
  'application/vnd.dev.sigstore.bundle.v0.3+json': 3,
};

const certificate = z.strictObject({ rawBytes: bytes });
const entry = z.strictObject({
  logIndex: decimal,
  logId: z.strictObject({ keyId: bytes }),
  kindVersion: z.strictObject({ kind: z.string().max(64), version: z.string().max(64) }),
  integratedTime: decimal.optional(),
  inclusionPromise: z.strictObject({ signedEntryTimestamp: bytes }).optional(),
  inclusionProof: z.strictObject({
    logIndex: decimal,
    rootHash: bytes,
    treeSize: decimal,
    hashes: z.array(bytes).max(64).default([]),
    checkpoint: z.strictObject({ envelope: z.string().max(65_536) }).optional(),
  }).optional(),
  canonicalizedBody: bytes,
});
const schema = z.strictObject({
  mediaType: z.string(),
  verificationMaterial: z.strictObject({
    publicKey: z.strictObject({ hint: z.string().max(1024).default('') }).optional(),
    certificate: certificate.optional(),
    x509CertificateChain: z.strictObject({ certificates: z.array(certificate).max(16) }).optional(),
    tlogEntries: z.array(entry).max(32).default([]),
    timestampVerificationData: z.strictObject({ rfc3161Timestamps: z.array(z.strictObject({ signedTimestamp: bytes })).max(32).default([]) }).optional(),
  }),
  messageSignature: z.strictObject({ messageDigest: z.strictObject({ algorithm: z.literal('SHA2_256'), digest: bytes }), signature: bytes }).optional(),
  dsseEnvelope: z.strictObject({
    payload: bytes,
    payloadType: z.string().max(1024),
    signatures: z.array(z.strictObject({ sig: bytes, keyid: z.string().max(1024).optional() })),
  }).optional(),
});
const anyMediaType = z.looseObject({ mediaType: z.string() });

export type ForeignEntry = z.infer<typeof entry>;
export interface ForeignBundle {
  /** As it was read, for the library. */
  readonly json: unknown;
  readonly version: 1 | 2 | 3;
  readonly signedBy: { readonly kind: 'key'; readonly hint: string } | { readonly kind: 'certificate'; readonly der: Buffer; readonly issuers: readonly Buffer[] };
  readonly entries: readonly ForeignEntry[];
  readonly timestamps: readonly Buffer[];
  readonly content: { readonly kind: 'message'; readonly digest: Buffer; readonly signature: Buffer } | { readonly kind: 'envelope'; readonly payload: Buffer; readonly payloadType: string; readonly signature: Buffer };
}

/**
 * Reads a bundle v0.1 to v0.3 (sigstore/protobuf-specs: protos/sigstore_bundle.proto) of whatever tool. Strict: an unknown
 * field may carry what another reader believes, and an unknown version means what we do not know.
 * @throws CairnError `malformed-document`: `too-large`, `not-json`, `duplicate-key`, `bundle-version`, `bundle-malformed`, `signature-count`
 */
export function parseForeignBundle(text: Uint8Array): ForeignBundle {
  const json = parseStrictJson(text, 'the bundle', bundleLimit);
  const mediaType = anyMediaType.safeParse(json).data?.mediaType ?? '';
  const version = Object.hasOwn(versions, mediaType) ? versions[mediaType] : undefined;
  if (version === undefined) throw malformed('bundle-version', `the bundle is of the unknown version ${JSON.stringify(mediaType.slice(0, 100))}`, { fix: `Known are ${Object.keys(versions).join(', ')}` });
  const parsed = schema.safeParse(json);
  if (!parsed.success) throw refuse(problemsOf(parsed.error));
  const { verificationMaterial: material, messageSignature, dsseEnvelope } = parsed.data;
  if ((messageSignature === undefined) === (dsseEnvelope === undefined)) throw refuse('it needs either a message signature or an envelope');
  return Object.freeze({
    json,
    version,
    signedBy: signedBy(material, version),
    entries: material.tlogEntries,
    timestamps: (material.timestampVerificationData?.rfc3161Timestamps ?? []).map((one) => one.signedTimestamp),
    content: messageSignature === undefined ? envelope(dsseEnvelope) : { kind: 'message', digest: messageSignature.messageDigest.digest, signature: messageSignature.signature },
  });
}

type Parsed = z.infer<typeof schema>;

function signedBy({ publicKey, certificate: leaf, x509CertificateChain: chain }: Parsed['verificationMaterial'], version: 1 | 2 | 3): ForeignBundle['signedBy'] {
  if ([publicKey, leaf, chain].filter((one) => one !== undefined).length !== 1) throw refuse('it needs one of a key, a certificate and a chain of certificates');
  if (publicKey !== undefined) return { kind: 'key', hint: publicKey.hint };
  if ((leaf === undefined) !== version < 3) throw refuse('its version and the form of its certificate do not fit');
  const [der, ...issuers] = (leaf === undefined ? (chain?.certificates ?? []) : [leaf]).map((one) => one.rawBytes);
  if (der === undefined) throw refuse('its chain of certificates is empty');
  return { kind: 'certificate', der, issuers };
}

/** One signature: of two, one reader counts the first and another the second, and a quorum would count one person twice. */
function envelope(dsse: Parsed['dsseEnvelope']): ForeignBundle['content'] {
  const [first, ...others] = dsse?.signatures ?? [];
  if (dsse === undefined || first === undefined || others.length > 0) throw malformed('signature-count', `the bundle's envelope has ${dsse?.signatures.length ?? 0} signatures, not one`);
  return { kind: 'envelope', payload: dsse.payload, payloadType: dsse.payloadType, signature: first.sig };
}

function refuse(why: string): Error {
  return malformed('bundle-malformed', `not a Sigstore bundle: ${why}`);
}
