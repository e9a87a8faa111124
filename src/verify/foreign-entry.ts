import type { KeyObject } from 'node:crypto';
import { z } from 'zod';
import { canonicalJson, parseStrictJson, sha256, verificationFailed } from '#core';
import type { ForeignEntry } from './foreign-bundle.ts';

/** What was signed, and by what, as a log entry must repeat it. */
export interface Signed {
  /** SHA-256 of the signed bytes: of the artifact, or of the envelope's pre-authentication encoding. */
  readonly digest: Buffer;
  /** Of an envelope only. */
  readonly payload: Buffer | null;
  readonly payloadType: string | null;
  readonly signature: Buffer;
  readonly verifier: { readonly kind: 'certificate' | 'key'; readonly der: Buffer; readonly key: KeyObject };
}

const hash = z.object({ algorithm: z.literal('sha256'), value: z.string() });
const head = z.object({ apiVersion: z.string(), kind: z.string() });
const hashedrekord = z.object({ spec: z.object({ data: z.object({ hash }), signature: z.object({ content: z.string(), publicKey: z.object({ content: z.string() }) }) }) });
const dsse = z.object({ spec: z.object({ payloadHash: hash, signatures: z.tuple([z.object({ signature: z.string(), verifier: z.string() })]) }) });
const intoto = z.object({ spec: z.object({ content: z.object({ payloadHash: hash, envelope: z.object({ payloadType: z.string(), signatures: z.tuple([z.object({ sig: z.string(), publicKey: z.string() })]) }) }) }) });

/**
 * Requires that a log entry is of this signature, this content and this signer. The library compares digest and signature only;
 * without the verifier an attacker logs a victim's signature under a certificate of his own.
 * @throws CairnError `verification-failed`: `entry-mismatch`, `entry-unsupported`
 */
export function requireEntryOf(entry: ForeignEntry, signed: Signed): void {
  const { kind, version } = entry.kindVersion;
  const form = `${kind} ${version}`;
  if (form === 'hashedrekord 0.0.2') return requireSame(entry.canonicalizedBody.equals(rekor2Body(signed)));
  const read = readers[form];
  if (read === undefined) throw verificationFailed('entry-unsupported', `the bundle's log entry is of the form ${form}, which is not one of ${Object.keys(readers).join(', ')}, hashedrekord 0.0.2`);
  const body = parseStrictJson(entry.canonicalizedBody, "the log entry's body", 32 << 20);
  const named = head.safeParse(body).data;
  requireSame(named?.kind === kind && named.apiVersion === version && read(body, signed));
}

const readers: Readonly<Record<string, (body: unknown, signed: Signed) => boolean>> = {
  'hashedrekord 0.0.1': (body, { digest, signature, verifier }) => {
    const spec = hashedrekord.safeParse(body).data?.spec;
    return spec !== undefined && spec.data.hash.value === digest.toString('hex') && spec.signature.content === signature.toString('base64') && isPemOf(spec.signature.publicKey.content, verifier.der);
  },
  'dsse 0.0.1': (body, { payload, signature, verifier }) => {
    const spec = dsse.safeParse(body).data?.spec;
    if (spec === undefined || payload === null) return false;
    const [one] = spec.signatures;
    return spec.payloadHash.value === sha256(payload).toString('hex') && one.signature === signature.toString('base64') && isPemOf(one.verifier, verifier.der);
  },
  'intoto 0.0.2': (body, { payload, payloadType, signature, verifier }) => {
    const content = intoto.safeParse(body).data?.spec.content;
    if (content === undefined || payload === null) return false;
    const [one] = content.envelope.signatures;
    // The signature is base64 of base64.
    const sig = Buffer.from(signature.toString('base64')).toString('base64');
    return content.payloadHash.value === sha256(payload).toString('hex') && content.envelope.payloadType === payloadType && one.sig === sig && isPemOf(one.publicKey, verifier.der);
  },
};

/** Rekor v2's one form, written anew: every byte of it is known (sigstore/rekor-tiles: CLIENTS.md). */
function rekor2Body({ digest, signature, verifier }: Signed): Buffer {
  const keyDetails = detailsOf(verifier.key);
  const named = verifier.kind === 'certificate' ? { x509Certificate: { rawBytes: verifier.der.toString('base64') } } : { publicKey: { rawBytes: verifier.der.toString('base64') } };
  return canonicalJson({
    apiVersion: '0.0.2',
    kind: 'hashedrekord',
    spec: { hashedRekordV002: { data: { algorithm: 'SHA2_256', digest: digest.toString('base64') }, signature: { content: signature.toString('base64'), verifier: { keyDetails, ...named } } } },
  });
}

function detailsOf(key: KeyObject): string {
  const { namedCurve, modulusLength } = key.asymmetricKeyDetails ?? {};
  if (namedCurve === 'prime256v1') return 'PKIX_ECDSA_P256_SHA_256';
  if (key.asymmetricKeyType === 'rsa' && [2048, 3072, 4096].includes(modulusLength ?? 0)) return `PKIX_RSA_PKCS1V15_${modulusLength}_SHA256`;
  throw verificationFailed('unsupported-key', `a ${namedCurve ?? key.asymmetricKeyType} key cannot stand in this log entry`);
}

/** The verifier of a Rekor v1 entry: base64 of the PEM of exactly this certificate or key. */
function isPemOf(text: string, der: Buffer): boolean {
  const match = /^-----BEGIN (CERTIFICATE|PUBLIC KEY)-----\n([A-Za-z0-9+/=\n]+)\n-----END \1-----\n?$/.exec(Buffer.from(text, 'base64').toString('latin1'));
  return match?.[2] !== undefined && Buffer.from(match[2], 'base64').equals(der);
}

function requireSame(same: boolean): void {
  if (!same) throw verificationFailed('entry-mismatch', 'the bundle is refused: its log entry is of another content, signature or signer');
}
