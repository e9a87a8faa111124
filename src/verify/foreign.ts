import { verify, type KeyObject } from 'node:crypto';
import { pae, type Statement } from '#attest';
import { asCairnError, digestOf, sha256, verificationFailed, type CairnError, type Digest, type Reason } from '#core';
import type { LogVerifier } from '#log';
import { p256Point, spkiOf, verifyDigest } from '#sign';
import { isSelfIssued, readLeaf, type Leaf } from './certificate.ts';
import { parseForeignBundle, type ForeignBundle } from './foreign-bundle.ts';
import { requireEntryOf, type Signed } from './foreign-entry.ts';
import { ourLogs, requireKeyValidity, verifyLogged, when, type Logged } from './foreign-log.ts';
import { parseForeignStatement } from './foreign-statement.ts';
import { knownKey, type KnownKey } from './known-keys.ts';
import { entityOf, requireLibraryAgrees } from './second-reader.ts';
import type { SigstoreRoot } from './sigstore-root.ts';

/** Who signed, in the shape of the policy's evidence: a key, or an OpenID Connect identity that a certificate proved. */
export type ForeignSigner = { readonly kind: 'key'; readonly key: string } | { readonly kind: 'identity'; readonly issuer: string; readonly subject: string };

export interface ForeignOptions {
  /** Whose certificates, logs and timestamps are believed. */
  readonly root: SigstoreRoot;
  /** base64 SPKI of the keys that may have signed a bundle without a certificate. */
  readonly keys?: readonly string[];
  /** Our own log: its entries are known by it, and its time counts. */
  readonly ours?: LogVerifier;
}

/** What a bundle of another tool proves. Whether this signer may say this about this digest is for the caller to ask. */
export interface ForeignVerified {
  readonly signer: ForeignSigner;
  readonly content:
    | { readonly kind: 'statement'; readonly statement: Statement; /** Of the DSSE payload's bytes. */ readonly payloadDigest: Digest }
    /** Somebody signed the bytes of this digest and said no more. */
    | { readonly kind: 'signature'; readonly digest: Digest };
  /** Seconds since 1970, oldest first: times at which the signature provably existed, by timestamp authorities and logs. */
  readonly times: readonly number[];
  /** Whose word this is: digest of the root. */
  readonly root: Digest;
  /** Our log where it holds it, else the first that does; null where the root knows no log (GitHub's own). `time` is that log's own word: what others' timestamps say, anybody can have said anew. */
  readonly log: { /** base64 of the log's id. */ readonly logId: string; readonly index: number; readonly isOurs: boolean; readonly time: number | null } | null;
}

/**
 * Verifies a Sigstore bundle (v0.1 to v0.3) that another tool wrote, offline, against a trusted root (sigstore/architecture-docs:
 * client-spec.md section 4). Read twice: strictly by us, and by Sigstore's own library, which sees certificates, SCTs and timestamps; both must agree.
 * @throws CairnError `malformed-document` or `verification-failed`, always with `context.reason`
 */
export function verifyForeign(bytes: Uint8Array, options: ForeignOptions): ForeignVerified {
  const bundle = parseForeignBundle(bytes);
  const signer = signerOf(bundle, options.keys ?? []);
  const signed = signedOf(bundle, signer);
  for (const entry of bundle.entries) requireEntryOf(entry, signed);
  const logged = bundle.entries.map((entry) => verifyLogged(entry, bundle.version, options.root.logs, options.ours));
  requireDistinctLogs(logged, options);
  if (new Set(bundle.timestamps.map((one) => one.toString('base64'))).size !== bundle.timestamps.length) throw refuse('timestamp-twice', 'it carries one timestamp twice');
  const { entity, stamps } = entityOf(bundle);
  // The time of our own log is the time of a checkpoint: it may come hours later, and is no reason to refuse a certificate of ten minutes.
  const vouched = [...stamps, ...logged.flatMap(({ time, isOurs }) => (time === null || isOurs ? [] : [time]))];
  if (signer.kind === 'certificate') requireTimely(signer.leaf, vouched);
  if (logged.length === 0 && stamps.length === 0) throw refuse('timestamp-missing', 'neither a log nor a timestamp authority has seen it');
  requireLibraryAgrees(entity, { bundle, root: options.root, ours: options.ours === undefined ? [] : ourLogs(options.ours), key: signed.verifier.key });
  for (const one of logged) requireKeyValidity(one, vouched);
  const first = logged.find((one) => one.isOurs) ?? logged[0];
  const verified: ForeignVerified = {
    signer: signer.kind === 'key' ? { kind: 'key', key: signer.known.spki } : { kind: 'identity', issuer: signer.leaf.issuer, subject: signer.leaf.subject },
    content: bundle.content.kind === 'message'
      ? { kind: 'signature', digest: `sha256:${bundle.content.digest.toString('hex')}` }
      : { kind: 'statement', statement: parseForeignStatement(bundle.content.payloadType, bundle.content.payload), payloadDigest: digestOf(bundle.content.payload) },
    times: [...stamps, ...logged.flatMap(({ time }) => (time === null ? [] : [time]))].toSorted((a, b) => a - b),
    root: options.root.digest,
    log: first === undefined ? null : { logId: first.log.id.toString('base64'), index: first.index, isOurs: first.isOurs, time: first.time },
  };
  return Object.freeze(verified);
}

/** Roots that may be meant by a bundle of another instance than this one's. */
const elsewhere: ReadonlySet<unknown> = new Set<Reason>(['log-unknown', 'log-entry-missing', 'certificate-untrusted', 'timestamp-invalid']);

/**
 * The same against several roots, each by itself: the first that believes the bundle counts.
 * @throws CairnError what the root says that knows most about it
 */
export function verifyForeignByAny(bytes: Uint8Array, roots: readonly SigstoreRoot[], options: Omit<ForeignOptions, 'root'>): ForeignVerified {
  let refusal: CairnError | undefined;
  for (const root of roots) {
    try {
      return verifyForeign(bytes, { ...options, root });
    } catch (thrown) {
      const error = asCairnError(thrown);
      if (!elsewhere.has(error.context['reason'])) throw error;
      refusal = error;
    }
  }
  throw refusal ?? refuse('log-unknown', 'no root is known here');
}

type SignerOf = { readonly kind: 'certificate'; readonly leaf: Leaf } | { readonly kind: 'key'; readonly known: KnownKey };

function signerOf(bundle: ForeignBundle, keys: readonly string[]): SignerOf {
  const { signedBy } = bundle;
  if (signedBy.kind === 'certificate') {
    // Fulcio's root in the bundle would be trust that the bundle brings along; the client specification forbids it.
    if (signedBy.issuers.some(isSelfIssued)) throw refuse('certificate-chain', 'its chain of certificates brings its own root');
    const leaf = readLeaf(signedBy.der);
    requireCheckable(bundle, leaf.key);
    if (!holds(bundle, leaf.key)) throw refuse('signature-invalid', 'the signature does not belong to the content');
    return { kind: 'certificate', leaf };
  }
  const candidates = keys.map(knownKey);
  const hinted = candidates.filter((one) => one.hint === signedBy.hint);
  const known = (hinted.length > 0 ? hinted : candidates).find((one) => holds(bundle, one.key));
  if (known === undefined) throw hinted.length > 0 ? refuse('signature-invalid', 'the signature does not belong to the content') : refuse('unknown-key', 'it is signed by an unknown key');
  return { kind: 'key', known };
}

function holds({ content }: ForeignBundle, key: KeyObject): boolean {
  if (content.kind === 'message') return verifyDigest(content.digest, content.signature, spkiOf(key));
  return verify(key.asymmetricKeyType === 'ed25519' ? null : 'sha256', pae(content.payloadType, content.payload), key, content.signature);
}

/** Keys of the caller are all ECDSA P-256; those in certificates need not be. */
function requireCheckable({ content }: ForeignBundle, key: KeyObject): void {
  if (content.kind === 'message' && p256Point(spkiOf(key)) === undefined) throw refuse('unsupported-key', 'a file that another key than ECDSA P-256 signed cannot be checked by its digest alone');
}

function signedOf({ content }: ForeignBundle, signer: SignerOf): Signed {
  const verifier = signer.kind === 'key' ? ({ kind: 'key', der: signer.known.der, key: signer.known.key } as const) : ({ kind: 'certificate', der: signer.leaf.der, key: signer.leaf.key } as const);
  if (content.kind === 'message') return { digest: content.digest, payload: null, payloadType: null, signature: content.signature, verifier };
  return { digest: sha256(pae(content.payloadType, content.payload)), payload: content.payload, payloadType: content.payloadType, signature: content.signature, verifier };
}

/** Where the root knows logs, one must hold it, and no log twice: two entries of one log are one log's word. */
function requireDistinctLogs(logged: readonly Logged[], { root, ours }: ForeignOptions): void {
  const distinct = (of: (one: Logged) => string) => new Set(logged.map(of)).size === logged.length;
  // A log that has a new key is still one log, and so is a key under two names.
  if (!distinct((one) => one.log.host) || !distinct((one) => one.log.spki)) throw refuse('log-twice', 'two of its log entries are of one log');
  if (logged.length === 0 && (root.logs.length > 0 || ours !== undefined)) throw refuse('log-entry-missing', 'no log holds it');
}

/** A certificate of ten minutes is worth something only with a proof that the signature was made within them: every time must fit. */
function requireTimely(leaf: Leaf, times: readonly number[]): void {
  if (times.length === 0) throw refuse('timestamp-missing', 'nothing proves when it was signed');
  const bad = times.find((one) => one < leaf.from || one > leaf.until);
  if (bad !== undefined) throw refuse('certificate-time', `it was signed at ${when(bad)}, when its certificate was not valid`);
}

function refuse(reason: Reason, why: string): CairnError {
  return verificationFailed(reason, `the bundle is refused: ${why}`);
}
