import { createPublicKey } from 'node:crypto';
import { envelopeDigest, parsePredicate, parseStatement, payloadOf, predicateTypes, type Bundle, type Facts, type Statement } from '#attest';
import { canonicalJson, type Digest } from '#core';
import { readCheckpoint, trustedRoot, type TileReader } from '#log';
import { registryClient } from '#oci';
import { findPackage, PolicyChain, readPolicyStatement, type Policy } from '#policy';
import { saysOf } from '#release';
import { publicKeyPem } from '#sign';
import type { AboutAnswer } from '#server';
import type { SigstoreRoot, Trust, TrustFile } from '#verify';
import { bundlePath, capsulePaths, foreignPath, keyPath, kindOf, policyPath, sigstoreRootPath, type CapsuleAbout } from './capsule-form.ts';
import { proofFiles } from './capsule-proofs.ts';
import { capsuleReadme } from './capsule-readme.ts';
import { chainRelease } from './capsule-release.ts';
import { componentTypes } from './capsule-statements.ts';
import type { Footing } from './footing.ts';
import type { Session } from './session.ts';
import { cosignedNote } from './witnessed.ts';

export interface CollectOptions {
  readonly session: Session;
  readonly footing: Footing;
  readonly trustFile: TrustFile;
  /** Of Sigstore, for what other tools signed. */
  readonly roots: readonly SigstoreRoot[];
  readonly application: string;
  readonly release: Digest;
  readonly version: string;
  readonly created: string;
}

interface Found {
  readonly bundle: Bundle;
  readonly statement: Statement;
  readonly logIndex: number;
}

/**
 * Everything that lets others decide again what was decided about a release. The server hands over bytes and is believed nothing: what is
 * collected here is checked as a capsule afterwards, by the code that checks one on any other machine.
 */
export async function collectCapsule(options: CollectOptions): Promise<{ about: CapsuleAbout; files: ReadonlyMap<string, Buffer> }> {
  const { session, footing, trustFile, roots, application, release, version, created } = options;
  const registry = registryClient(session.url, application);
  const parts = await chainRelease({ manifest: async (digest) => (await registry.manifest(digest)).bytes, blob: (digest) => registry.blob(digest) }, application, release);
  const policies = footing.policies.versions.map(({ policy }) => policy);
  const statements = await statementsAbout(session, release, parts.components, policies);
  const found = [...statements, ...(await policyStatements(session, footing))].toSorted((a, b) => a.logIndex - b.logIndex);
  const newest = readCheckpoint(await cosignedNote(session, footing), footing.log);

  const files = new Map<string, Buffer>();
  for (const [path, bytes] of parts.files) files.set(path, bytes);
  for (const { bundle, statement, logIndex } of found) {
    files.set(bundlePath(statement, logIndex), canonicalJson(bundle));
    const inner = kindOf(statement) === 'foreign' ? parsePredicate('foreign', statement) : undefined;
    if (inner?.form === 'bundle') files.set(foreignPath(logIndex), Buffer.from(inner.bundle));
  }
  if (found.some(({ statement }) => kindOf(statement) === 'foreign')) for (const [at, { json }] of roots.entries()) files.set(sigstoreRootPath(at), Buffer.from(`${JSON.stringify(json, null, 2)}\n`));
  for (const policy of policies) files.set(policyPath(policy.version), canonicalJson(policy));
  for (const [path, bytes] of trustFiles(trustFile, footing, policies)) files.set(path, bytes);
  const entries = found.map(({ logIndex, bundle }) => ({ logIndex, checkpointSize: Number(proofOf(bundle).treeSize) }));
  for (const [path, bytes] of await proofFiles(tilesOf(session), newest, entries)) files.set(path, bytes);
  const about: CapsuleAbout = {
    kind: 'cairn-capsule', version: 1, cairn: version, created, origin: footing.log.origin, application, release, checkpoint: { size: newest.size, root: newest.root.toString('hex') }, without: [...parts.without],
  };
  files.set(capsulePaths.readme, Buffer.from(capsuleReadme(about, parts, found, policies, footing.trust)));
  return { about, files: new Map([...files].toSorted(([a], [b]) => (a < b ? -1 : 1))) };
}

function proofOf(bundle: Bundle) {
  return bundle.verificationMaterial.tlogEntries[0].inclusionProof;
}

/** The log grows while we read: a tile that has more by now begins with what it had. */
function tilesOf(session: Session): TileReader {
  return { tile: (level, index) => session.api.tile(level, index) };
}

function readFound({ bundle }: Pick<AboutAnswer, 'bundle'>): Found {
  return { bundle, statement: parseStatement(payloadOf(bundle.dsseEnvelope)), logIndex: Number(bundle.verificationMaterial.tlogEntries[0].logIndex) };
}

async function statementsAbout(session: Session, release: Digest, components: readonly Digest[], policies: readonly Policy[]): Promise<Found[]> {
  const found = new Map<Digest, Found>();
  const take = (answers: readonly AboutAnswer[]) => {
    for (const answer of answers) found.set(answer.digest, readFound(answer));
  };
  take(await session.api.about(release));
  for (const component of components) for (const type of componentTypes()) take(await session.api.about(component, type));
  const keys = new Set(policies.flatMap(({ people }) => people.flatMap((one) => one.keys)));
  const bills = [...found.values()].flatMap(({ statement }) => {
    const says = saysOf(statement);
    return says?.kind === 'sbom' ? [says.packages] : [];
  });
  const isBilled = (purl: string) => bills.some((packages) => findPackage(packages, purl) !== undefined);
  const glass = new Map<Digest, Digest>();
  for (const { statement } of [...found.values()].filter((one) => kindOf(one.statement) === 'verdict')) {
    const { facts } = parsePredicate('verdict', statement)['https://cairn.internal/verdict/v1'];
    for (const { key } of facts?.revokedKeys ?? []) keys.add(key);
    for (const { envelope, release: of } of facts?.debts ?? []) glass.set(envelope, of);
  }
  for (const { bundle } of await session.api.revocations()) {
    const one = readFound({ bundle });
    const concerns = kindOf(one.statement) === 'keyRevocation' ? keys.has(parsePredicate('keyRevocation', one.statement).key) : isBilled(parsePredicate('packageRevocation', one.statement).purl);
    if (concerns) found.set(envelopeDigest(bundle.dsseEnvelope), one);
  }
  for (const of of new Set(glass.values())) take((await session.api.about(of, predicateTypes.breakGlass)).filter(({ digest }) => glass.has(digest)));
  return [...found.values()];
}

/** The signatures by which each version of the policy came into force; what counted for nothing stays where it is. */
async function policyStatements(session: Session, { policies: followed, trust }: Footing): Promise<Found[]> {
  const chain = new PolicyChain(followed.versions[0]?.digest ?? trust.policy);
  const versions = new Set(followed.versions.map(({ digest }) => digest));
  const revoked: Facts['revokedKeys'][number][] = [];
  const found: Found[] = [];
  for (const { bundle, key, logIndex, time } of (await session.api.policies()).statements) {
    const one = readFound({ bundle });
    if (kindOf(one.statement) === 'keyRevocation') revoked.push(revocationOf(one.statement));
    else if (versions.has(readPolicyStatement(one.statement).digest) && chain.take({ statement: one.statement, key, logIndex, time }, revoked).complaint === undefined) found.push(one);
  }
  return found;
}

function revocationOf(statement: Statement): Facts['revokedKeys'][number] {
  const { key, after, by, reason } = parsePredicate('keyRevocation', statement);
  return { key, after, by, reason };
}

/** Trust as files that cosign and openssl read. Whoever checks a capsule holds each of them to trust of their own. */
export function trustFiles(trustFile: TrustFile, { log, trust }: Pick<Footing, 'log' | 'trust'>, policies: readonly Policy[]): Map<string, Buffer> {
  const files = new Map<string, Buffer>([
    [capsulePaths.trust, Buffer.from(`${JSON.stringify(trustFile, null, 2)}\n`)],
    [capsulePaths.trustedRoot, Buffer.from(`${JSON.stringify(trustedRoot(log, trust.since), null, 2)}\n`)],
  ]);
  for (const [path, spki] of keyFiles(trust, policies)) files.set(path, Buffer.from(publicKeyPem(createPublicKey({ key: Buffer.from(spki, 'base64'), format: 'der', type: 'spki' }))));
  return files;
}

/** Every key that signed or may have: the server's by what they are for, people's by their name. */
export function keyFiles(trust: Trust, policies: readonly Policy[]): Map<string, string> {
  const files = new Map([[keyPath('record'), trust.keys.record], ...Object.entries(trust.keys.admit).map(([name, spki]) => [keyPath(`admit-${name}`), spki] as const)]);
  const people = new Map<string, string[]>();
  for (const { name, keys } of policies.flatMap((policy) => policy.people)) {
    const known = people.get(name) ?? [];
    people.set(name, [...known, ...keys.filter((key) => !known.includes(key))]);
  }
  for (const [name, keys] of people) for (const [at, key] of keys.entries()) files.set(`trust/people/${name}${at === 0 ? '' : `.${at + 1}`}.pub`, key);
  return files;
}
