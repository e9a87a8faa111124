import { createPublicKey, type KeyObject } from 'node:crypto';
import { z } from 'zod';
import { digestOf, malformed, parseStrictJson, problemsOf, type Digest } from '#core';
import { spkiOf } from '#sign';
import { bytes, validity } from './protojson.ts';

const operator = z.string().max(1024).nullish();
const log = z.strictObject({
  baseUrl: z.url({ protocol: /^https?$/ }),
  hashAlgorithm: z.literal('SHA2_256'),
  publicKey: z.strictObject({ rawBytes: bytes, keyDetails: z.string().regex(/^PK(IX|CS1)_[A-Z0-9_]{1,60}$/), validFor: validity }),
  logId: z.strictObject({ keyId: bytes }),
  /** Where a log signs checkpoints under another id than its entries name it by; no log does, and the library would follow it. */
  checkpointKeyId: z.null().optional(),
  operator,
});
const authority = z.strictObject({
  subject: z.strictObject({ organization: z.string().optional(), commonName: z.string().optional() }).optional(),
  uri: z.string().max(2048).optional(),
  certChain: z.strictObject({ certificates: z.array(z.strictObject({ rawBytes: bytes })).min(1).max(16) }),
  validFor: validity,
  operator,
});
const schema = z.strictObject({
  mediaType: z.enum(['application/vnd.dev.sigstore.trustedroot+json;version=0.1', 'application/vnd.dev.sigstore.trustedroot.v0.2+json']),
  tlogs: z.array(log).max(256).default([]),
  certificateAuthorities: z.array(authority).max(256).default([]),
  ctlogs: z.array(log).max(256).default([]),
  timestampAuthorities: z.array(authority).max(256).default([]),
});

/** A log whose entries are believed. */
export interface RootLog {
  /** Host of its address, and its port where it has one: the names under which it may sign checkpoints. */
  readonly host: string;
  readonly names: readonly string[];
  readonly id: Buffer;
  readonly key: KeyObject;
  /** base64: two names for one key are one log. */
  readonly spki: string;
  /** Seconds since 1970; both ends included. */
  readonly from: number;
  readonly until: number;
}

/** A TrustedRoot (sigstore/protobuf-specs: protos/sigstore_trustroot.proto), read and checked. */
export interface SigstoreRoot {
  readonly kind: 'sigstore-root';
  /** Of its text. */
  readonly digest: Digest;
  /** As it was read, for the library. */
  readonly json: unknown;
  readonly logs: readonly RootLog[];
  readonly certificateLogs: readonly { readonly url: string; readonly from: number; readonly until: number }[];
  readonly authorities: readonly { readonly name: string; readonly from: number; readonly until: number }[];
  readonly timestampAuthorities: readonly { readonly name: string; readonly certificate: Buffer; readonly from: number; readonly until: number }[];
}

/**
 * Strict, since everything that it names is believed: unknown fields, a key without a start or a key that cannot be read make the
 * whole file unusable, never a part of it.
 * @throws CairnError `malformed-document`: `root-malformed` or a reason of `parseStrictJson`
 */
export function parseSigstoreRoot(text: Uint8Array): SigstoreRoot {
  const json = parseStrictJson(text, 'the trusted root', 1 << 20);
  const parsed = schema.safeParse(json);
  if (!parsed.success) throw malformed('root-malformed', `not a Sigstore TrustedRoot: ${problemsOf(parsed.error)}`);
  const { tlogs, ctlogs, certificateAuthorities, timestampAuthorities } = parsed.data;
  for (const one of ctlogs) keyOf(one);
  const nameOf = ({ uri, subject }: z.infer<typeof authority>) => uri ?? [subject?.organization, subject?.commonName].filter((part) => part !== undefined).join(' ');
  return Object.freeze({
    kind: 'sigstore-root',
    digest: digestOf(text),
    json,
    logs: tlogs.map((one) => {
      const key = keyOf(one);
      const [, host = '', port = ''] = /^https?:\/\/([^/:?#@]+)(:[0-9]+)?/.exec(one.baseUrl) ?? [];
      return { host, names: port === '' ? [host] : [host, host + port], id: one.logId.keyId, key, spki: spkiOf(key).toString('base64'), ...bounds(one.publicKey.validFor) };
    }),
    certificateLogs: ctlogs.map((one) => ({ url: one.baseUrl, ...bounds(one.publicKey.validFor) })),
    authorities: certificateAuthorities.map((one) => ({ name: nameOf(one), ...bounds(one.validFor) })),
    timestampAuthorities: timestampAuthorities.map((one) => ({ name: nameOf(one), certificate: one.certChain.certificates[0]?.rawBytes ?? Buffer.alloc(0), ...bounds(one.validFor) })),
  });
}

/**
 * Reads one TrustedRoot, or several, one a line, as `gh attestation trusted-root` prints them: the public-good instance's and GitHub's.
 * They stay apart: what one of them lacks is not lent by another.
 */
export function parseSigstoreRoots(text: Uint8Array): readonly SigstoreRoot[] {
  const lines = text.byteLength > 4 << 20 ? [] : Buffer.from(text).toString('utf8').split('\n').filter((line) => line.trim() !== '');
  if (lines.length < 2 || lines.length > 16 || !lines.every((line) => line.startsWith('{') && line.trimEnd().endsWith('}'))) return [parseSigstoreRoot(text)];
  return lines.map((line) => parseSigstoreRoot(Buffer.from(line)));
}

function bounds({ start, end }: z.infer<typeof validity>): { from: number; until: number } {
  return { from: Date.parse(start) / 1000, until: typeof end !== 'string' ? Infinity : Date.parse(end) / 1000 };
}

function keyOf({ publicKey: { rawBytes, keyDetails }, baseUrl }: z.infer<typeof log>): KeyObject {
  try {
    return createPublicKey({ key: rawBytes, format: 'der', type: keyDetails.startsWith('PKCS1_') ? 'pkcs1' : 'spki' });
  } catch (cause) {
    throw malformed('root-malformed', `the trusted root's key of ${baseUrl} cannot be read`, { cause });
  }
}
