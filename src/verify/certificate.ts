import { X509Certificate, type KeyObject } from 'node:crypto';
import { verificationFailed } from '#core';
import { library, type Asn1, type SigstoreCertificate } from './library.ts';

const oids = { keyUsage: '2.5.29.15', altName: '2.5.29.17', constraints: '2.5.29.19', extendedUsage: '2.5.29.37', issuer: '1.3.6.1.4.1.57264.1.8', oldIssuer: '1.3.6.1.4.1.57264.1.1', username: '1.3.6.1.4.1.57264.1.7' };
const codeSigning = '1.3.6.1.5.5.7.3.3';
const timestamping = '1.3.6.1.5.5.7.3.8';
const understood = new Set([oids.keyUsage, oids.altName, oids.constraints, oids.extendedUsage]);

/** What a signing certificate of Fulcio says (sigstore/fulcio: docs/certificate-specification.md, docs/oid-info.md). */
export interface Leaf {
  readonly der: Buffer;
  readonly key: KeyObject;
  /** Seconds since 1970; both ends included. */
  readonly from: number;
  readonly until: number;
  readonly issuer: string;
  readonly subject: string;
}

/**
 * Reads a leaf certificate. An attacker who gets some certificate issued tries to have it read as somebody else's: two names, two
 * issuers, a name with bytes beyond ASCII that a lax reader folds, an extension given twice. All of these are refused.
 * @throws CairnError `verification-failed`: `certificate-malformed`
 */
export function readLeaf(der: Buffer): Leaf {
  try {
    return read(der);
  } catch (cause) {
    throw verificationFailed('certificate-malformed', `the signing certificate is refused: ${(cause as Error).message}`, { cause });
  }
}

/** Whether a certificate names itself as its issuer, as a root does. What cannot be read counts as one: it has no place in a chain either. */
export function isSelfIssued(der: Buffer): boolean {
  try {
    const { subject, issuer } = new X509Certificate(der);
    return subject === issuer;
  } catch {
    return true;
  }
}

/** RFC 3161 section 2.3: for timestamping, critically and alone. Without this any certificate below the authority's root could set the time. */
export function isTimestamper(certificate: SigstoreCertificate): boolean {
  const usage = certificate.extension(oids.extendedUsage);
  const [purpose, ...others] = usage?.valueObj.subs[0]?.subs ?? [];
  return !certificate.isCA && usage?.critical === true && purpose?.toOID() === timestamping && others.length === 0;
}

function read(der: Buffer): Leaf {
  const certificate = new X509Certificate(der);
  // Reads minimal DER only, and to its last byte.
  const parsed = library().core.X509Certificate.parse(Buffer.from(der));
  if (!['ec', 'ed25519', 'rsa'].includes(certificate.publicKey.asymmetricKeyType ?? '')) throw new Error(`a ${certificate.publicKey.asymmetricKeyType} key signs nothing`);
  if (certificate.keyUsage?.includes(codeSigning) !== true) throw new Error('it is not for signing code');
  const extensions = new Map<string, { critical: boolean; value: Asn1 }>();
  for (const { subs } of parsed.extensions) {
    const [oid, value] = [subs[0]?.toOID() ?? '', subs.at(-1)];
    if (value === undefined || extensions.has(oid)) throw new Error(`it holds the extension ${oid} twice`);
    extensions.set(oid, { critical: subs.length === 3 && subs[1]?.toBoolean() === true, value });
  }
  // OpenSSL calls it no authority where its key may not sign certificates; what it says of itself is enough here.
  if (certificate.ca || extensions.get(oids.constraints)?.value.subs[0]?.subs[0]?.toBoolean() === true) throw new Error('it is an authority’s own');
  for (const [oid, { critical }] of extensions) if (critical && !understood.has(oid)) throw new Error(`nobody here understands its critical extension ${oid}`);
  return Object.freeze({
    der,
    key: certificate.publicKey,
    from: certificate.validFromDate.getTime() / 1000,
    until: certificate.validToDate.getTime() / 1000,
    issuer: issuerOf(extensions.get(oids.issuer)?.value, extensions.get(oids.oldIssuer)?.value),
    subject: subjectOf(extensions.get(oids.altName)?.value),
  });
}

/** The newer extension is a DER UTF8String, the older one bare bytes; where both stand, they must agree. */
function issuerOf(newer: Asn1 | undefined, older: Asn1 | undefined): string {
  const [string, ...others] = newer?.subs ?? [];
  if (newer !== undefined && (string?.tag.number !== 0x0c || string.tag.class !== 0 || others.length > 0)) throw new Error('its issuer is no UTF8String');
  const [now, before] = [string === undefined ? undefined : text(string.value), older === undefined ? undefined : text(older.value)];
  if (now !== undefined && before !== undefined && now !== before) throw new Error('it names two issuers');
  const issuer = now ?? before ?? '';
  if (issuer === '') throw new Error('it names no issuer of the identity');
  return issuer;
}

/** Exactly one name: an e-mail address, a URI, or a user name of Fulcio's own form. */
function subjectOf(extension: Asn1 | undefined): string {
  const [names, ...rest] = extension?.subs ?? [];
  const [name, ...others] = names?.subs ?? [];
  if (name?.tag.class !== 2 || others.length > 0 || rest.length > 0) throw new Error('it does not hold exactly one name');
  if (name.tag.number === 1 || name.tag.number === 6) {
    if (name.value.byteLength === 0 || name.value.some((byte) => byte < 0x20 || byte > 0x7e)) throw new Error('its name is not plain ASCII');
    return name.value.toString('latin1');
  }
  const [oid, value] = name.subs;
  const string = value?.subs[0];
  if (name.tag.number !== 0 || oid?.toOID() !== oids.username || string?.tag.number !== 0x0c) throw new Error('its name is of an unknown form');
  return text(string.value);
}

function text(bytes: Buffer): string {
  const decoded = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  if (/\p{Cc}/u.test(decoded)) throw new Error('it holds control characters');
  return decoded;
}
