import { verify } from 'node:crypto';
import { z } from 'zod';
import { bundleLimit, pae, type PredicateOf, type Statement } from '#attest';
import { digestOf, isDigest, malformed, parseStrictJson, verificationFailed, type Digest } from '#core';
import { readLeaf } from './certificate.ts';
import { parseForeignBundle, type ForeignBundle } from './foreign-bundle.ts';
import { parseForeignStatement } from './foreign-statement.ts';
import { verifyForeignByAny, type ForeignOptions, type ForeignSigner } from './foreign.ts';
import { knownKey } from './known-keys.ts';
import { bytes } from './protojson.ts';
import type { SigstoreRoot } from './sigstore-root.ts';

/** What a `foreign` statement holds, as it was given by another tool. */
export type ForeignForm = PredicateOf<'foreign'>;

/** What another tool's signature proves. Whether this signer may say this is for the policy. */
export interface ForeignSaid {
  readonly signer: ForeignSigner;
  /** In-toto's; a signature that says nothing more is one of the type that `cosign sign` writes today. */
  readonly statement: Statement;
  /** Where our own log holds that very signature, and the log's time there; null where it does not. */
  readonly ours: { readonly logIndex: number; readonly time: number } | null;
}

export type ReadOptions = Omit<ForeignOptions, 'root'> & {
  /** Each by itself: certificates, logs and timestamps of one are nothing to another. */
  readonly roots: readonly SigstoreRoot[];
};

/** Whose signatures could count at all: what costs more than a look at who is named is spent on no one else's. */
export interface Expected {
  /** base64 SPKI. */
  readonly keys: readonly string[];
  readonly identities: readonly { readonly issuer: string; readonly subject: string }[];
}

const signedDigest = 'https://sigstore.dev/cosign/sign/v1';
/** Bytes of the largest payload of a legacy signature: it names one digest. */
const simpleLimit = 64 << 10;

const dsse = z.strictObject({
  payloadType: z.string().max(1024),
  payload: bytes,
  signatures: z.array(z.strictObject({ sig: bytes, keyid: z.string().max(1024).optional() })),
});
/** containers/image: docs/containers-signature.5.md, "critical". */
const simple = z.looseObject({
  critical: z.looseObject({
    identity: z.looseObject({}).optional(),
    image: z.looseObject({ 'docker-manifest-digest': z.custom<Digest>(isDigest, 'not a sha256 digest') }),
    type: z.enum(['cosign container image signature', 'atomic container signature']),
  }),
});

/**
 * Verifies what another tool signed from its bytes, as often as it is used: a bundle against root and log, or a legacy form of cosign with
 * a key. A key's bundle that no log holds is taken by its signature alone: the entry of the `foreign` statement then is what proves when.
 * @throws CairnError `malformed-document` or `verification-failed`, with `context.reason`
 */
export function readForeign(said: ForeignForm, options: ReadOptions): ForeignSaid {
  if (said.form === 'dsse') return readEnvelope(dsseOf(said.envelope), options);
  if (said.form === 'simplesigning') return readSimple(said, options);
  const text = Buffer.from(said.bundle, 'utf8');
  const bundle = parseForeignBundle(text);
  if (bundle.signedBy.kind === 'key' && bundle.entries.length === 0 && bundle.timestamps.length === 0 && bundle.content.kind === 'envelope') return readEnvelope(bundle.content, { ...options, keys: hinted(bundle.signedBy.hint, options.keys ?? []) });
  const { signer, content, log } = verifyForeignByAny(text, options.roots, options);
  // Our log's own time. A timestamp over an old signature can be had anew from any authority, and would make an old statement young.
  const ours = log?.isOurs === true && log.time !== null ? { logIndex: log.index, time: log.time } : null;
  return Object.freeze({ signer, statement: content.kind === 'statement' ? content.statement : signatureOf(content.digest), ours });
}

/** The digest of the signature itself: in another wrapping it is still the same one. @throws CairnError `malformed-document` */
export function foreignDigest(said: ForeignForm): Digest {
  if (said.form === 'simplesigning') return digestOf(strictBase64(said.signature));
  if (said.form === 'dsse') return digestOf(dsseOf(said.envelope).signature);
  return digestOf(parseForeignBundle(Buffer.from(said.bundle, 'utf8')).content.signature);
}

/**
 * A cheap look before the costly one: whether it claims a signer that could count, and says something of a type that could. Strangers may
 * attach as much as they like; it proves nothing, in particular not that the claim is true.
 * @throws CairnError `malformed-document` or `verification-failed`
 */
export function claims(said: ForeignForm, expected: Expected, predicateTypesThatCount: ReadonlySet<string>): boolean {
  if (said.form === 'simplesigning') return expected.keys.length > 0;
  if (said.form === 'dsse') return expected.keys.length > 0 && counts(dsseOf(said.envelope), predicateTypesThatCount);
  const { signedBy, content } = parseForeignBundle(Buffer.from(said.bundle, 'utf8'));
  if (content.kind === 'envelope' && !counts(content, predicateTypesThatCount)) return false;
  if (signedBy.kind === 'key') return signedBy.hint === '' ? expected.keys.length > 0 : expected.keys.some((spki) => knownKey(spki).hint === signedBy.hint);
  const { issuer, subject } = readLeaf(signedBy.der);
  return expected.identities.some((one) => one.issuer === issuer && one.subject === subject);
}

type Envelope = Extract<ForeignBundle['content'], { kind: 'envelope' }>;

function counts({ payloadType, payload }: Envelope, types: ReadonlySet<string>): boolean {
  return types.has(parseForeignStatement(payloadType, payload).predicateType);
}

function dsseOf(text: string): Envelope {
  const parsed = dsse.safeParse(parseStrictJson(Buffer.from(text, 'utf8'), 'the envelope', bundleLimit));
  if (!parsed.success) throw malformed('bundle-malformed', `not a DSSE envelope: ${z.prettifyError(parsed.error).slice(0, 500)}`);
  const { payload, payloadType, signatures } = parsed.data;
  const [first, ...others] = signatures;
  if (first === undefined || others.length > 0) throw malformed('signature-count', `the envelope has ${signatures.length} signatures, not one`);
  return { kind: 'envelope', payload, payloadType, signature: first.sig };
}

function readEnvelope({ payload, payloadType, signature }: Envelope, options: ReadOptions): ForeignSaid {
  const key = signedBy(pae(payloadType, payload), signature, options);
  return Object.freeze<ForeignSaid>({ signer: { kind: 'key', key }, statement: parseForeignStatement(payloadType, payload), ours: null });
}

/** Of a hint that is known only that key, as for every bundle: who claims to be one person is not tried as another. */
function hinted(hint: string, keys: readonly string[]): readonly string[] {
  const own = keys.filter((spki) => knownKey(spki).hint === hint);
  return own.length > 0 ? own : keys;
}

function readSimple({ payload, signature, certificate }: Extract<ForeignForm, { form: 'simplesigning' }>, options: ReadOptions): ForeignSaid {
  if (certificate !== null) throw verificationFailed('entry-unsupported', 'a legacy signature with a certificate is refused: nothing in it proves when it was made', { fix: 'Sign with cosign 3, which writes bundles' });
  const text = strictBase64(payload);
  const key = signedBy(text, strictBase64(signature), options);
  const parsed = simple.safeParse(parseStrictJson(text, 'the signed payload', simpleLimit));
  if (!parsed.success) throw malformed('statement-malformed', `not a payload of cosign: ${z.prettifyError(parsed.error).slice(0, 500)}`);
  return Object.freeze<ForeignSaid>({ signer: { kind: 'key', key }, statement: signatureOf(parsed.data.critical.image['docker-manifest-digest']), ours: null });
}

function signedBy(message: Uint8Array, signature: Uint8Array, { keys = [] }: Pick<ReadOptions, 'keys'>): string {
  const found = keys.map(knownKey).find(({ key }) => verify(key.asymmetricKeyType === 'ed25519' ? null : 'sha256', message, key, signature));
  if (found === undefined) throw verificationFailed('unknown-key', 'it is signed by none of the keys that may sign');
  return found.spki;
}

function signatureOf(digest: Digest): Statement {
  return Object.freeze({ predicateType: signedDigest, subject: [{ name: '', digest: { sha256: digest.slice(7) } }], predicate: {} });
}

function strictBase64(text: string): Buffer {
  const decoded = Buffer.from(text, 'base64');
  if (decoded.toString('base64') !== text) throw malformed('bundle-malformed', 'what should be base64 is not');
  return decoded;
}
