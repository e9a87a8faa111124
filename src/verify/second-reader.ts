import type { KeyObject } from 'node:crypto';
import type { SignedEntity, TrustMaterial } from '@sigstore/verify';
import { CairnError, verificationFailed, type Reason } from '#core';
import { isTimestamper } from './certificate.ts';
import type { ForeignBundle } from './foreign-bundle.ts';
import { library, type Asn1, type SigstoreCertificate } from './library.ts';
import type { RootLog, SigstoreRoot } from './sigstore-root.ts';

/** What is asked of the library: a bundle, who may have signed it, and how much must vouch for it. */
interface Question {
  readonly bundle: ForeignBundle;
  readonly root: SigstoreRoot;
  readonly ours: readonly RootLog[];
  /** Whose signature was found to hold. */
  readonly key: KeyObject;
}

/** The bundle as the library sees it, with the times of its timestamps (seconds since 1970), which nothing vouches for yet. */
export function entityOf(bundle: ForeignBundle): { entity: SignedEntity; stamps: number[] } {
  try {
    const { bundle: { bundleFromJSON }, verify: { toSignedEntity } } = library();
    const entity = toSignedEntity(bundleFromJSON(bundle.json));
    const stamps = entity.timestamps.flatMap((one) => (one.$case === 'timestamp-authority' ? [one.timestamp] : []));
    // RFC 3161 section 2.4.2: 0 is granted, 1 granted with changes; the library does not look.
    if (stamps.some((one) => one.status !== 0n && one.status !== 1n)) throw new Error('the authority did not grant it');
    if (stamps.some((one) => Number.isNaN(one.signingTime.getTime()))) throw new Error('its time is in no calendar');
    return { entity, stamps: stamps.map((one) => one.signingTime.getTime() / 1000) };
  } catch (cause) {
    throw verificationFailed(bundle.timestamps.length > 0 ? 'timestamp-invalid' : 'bundle-malformed', `the bundle is refused: ${(cause as Error).message}`, { cause });
  }
}

/** Sigstore's own verifier over the same bundle: certificate chain, SCTs, timestamps and signature; the log once more. */
export function requireLibraryAgrees(entity: SignedEntity, { bundle, root, ours, key }: Question): void {
  const material = materialOf(root);
  const tlogs = [...material.tlogs, ...ours.map(({ id, host, key: publicKey }) => ({ logID: id, baseURL: `https://${host}`, publicKey, validFor: always }))];
  const verifier = new (library().verify.Verifier)({ ...material, tlogs, publicKey: () => ({ publicKey: key, validFor: () => true }) }, {
    tlogThreshold: tlogs.length > 0 ? 1 : 0,
    ctlogThreshold: root.certificateLogs.length > 0 ? 1 : 0,
    timestampThreshold: bundle.signedBy.kind === 'certificate' ? 1 : 0,
  });
  try {
    const { content } = bundle;
    verifier.verify(content.kind === 'message' ? { ...entity, signature: digestSignature(content, key) } : entity);
  } catch (cause) {
    throw cause instanceof CairnError ? cause : verificationFailed(reasonOf(cause), `the bundle is refused: ${(cause as Error).message}`, { cause });
  }
}

const always = { start: new Date(0), end: new Date(8_640_000_000_000_000) };
const reasons: Readonly<Record<string, Reason>> = {
  TIMESTAMP_ERROR: 'timestamp-invalid', SIGNATURE_ERROR: 'signature-invalid', CERTIFICATE_ERROR: 'certificate-untrusted', PUBLIC_KEY_ERROR: 'unknown-key',
  TLOG_INCLUSION_PROMISE_ERROR: 'promise-invalid', TLOG_INCLUSION_PROOF_ERROR: 'proof-invalid', TLOG_MISSING_INCLUSION_ERROR: 'proof-missing', TLOG_BODY_ERROR: 'entry-mismatch', TLOG_ERROR: 'log-twice',
};

function reasonOf(thrown: unknown): Reason {
  const { code, message } = thrown as { code?: unknown; message: string };
  if (code === 'CERTIFICATE_ERROR' && message.includes('SCT')) return 'sct-invalid';
  // What is thrown without a code is a reader that stumbled over what an attacker wrote: refused, like all the rest.
  return typeof code === 'string' ? (reasons[code] ?? 'bundle-malformed') : 'bundle-malformed';
}

const materials = new WeakMap<SigstoreRoot, TrustMaterial>();

function materialOf(root: SigstoreRoot): TrustMaterial {
  const known = materials.get(root);
  if (known !== undefined) return known;
  const { specs, verify } = library();
  const material = verify.toTrustMaterial(specs.TrustedRoot.fromJSON(root.json));
  const made = { ...material, timestampAuthorities: material.timestampAuthorities.filter(({ certChain: [leaf] }) => leaf !== undefined && isTimestamper(leaf)) };
  for (const { certChain } of [...made.certificateAuthorities, ...made.timestampAuthorities]) certChain.forEach(settle);
  materials.set(root, made);
  return made;
}

/**
 * The root's own certificates do not change, and the library writes each of them anew, and checks it by those above it, for every
 * bundle: most of its time. Both are remembered, on these objects alone; a leaf's signature is checked whenever it is met.
 */
function settle(certificate: SigstoreCertificate): void {
  const { root } = certificate as unknown as { readonly root: Asn1 };
  for (const part of [root, certificate.tbsCertificate]) {
    const der = part.toDER();
    Object.defineProperty(part, 'toDER', { value: () => der });
  }
  const itself = {};
  const known = new WeakMap<object, boolean>();
  const check = certificate.verify.bind(certificate);
  Object.defineProperty(certificate, 'verify', {
    value: (issuer?: SigstoreCertificate): boolean => {
      const answer = known.get(issuer ?? itself) ?? check(issuer);
      known.set(issuer ?? itself, answer);
      return answer;
    },
  });
}

/** A signature over a digest, which the library could check against the artifact only: it holds for the key for which it was found to hold. */
function digestSignature({ digest, signature }: { readonly digest: Buffer; readonly signature: Buffer }, key: KeyObject): SignedEntity['signature'] {
  return {
    signature,
    compareSignature: (other) => other.equals(signature),
    compareDigest: (other) => other.equals(digest),
    compareSignedDigest: (other) => other.equals(digest),
    verifySignature: (other) => key.equals(other),
  };
}
