import { createPublicKey } from 'node:crypto';
import { parseBundle, parsePredicate, parseStatement, payloadOf, predicateTypes, subjectDigests, type Bundle, type Statement } from '#attest';
import { canonicalJson, type Digest, type Reason } from '#core';
import type { LogVerifier } from '#log';
import { parsePolicy, type PolicyVersion } from '#policy';
import { keyHint } from '#sign';
import { verifyBundle, type Trust } from '#verify';
import type { Finding } from './audit-log.ts';
import { auditSigners } from './audit-signers.ts';
import { bundlePath, foreignPath, isBundlePath, kindOf, policyPath, refused, type CapsuleFiles } from './capsule-form.ts';
import type { ReleaseParts } from './capsule-release.ts';

/** A statement of the capsule that was verified: signature, leaf, inclusion, checkpoint. */
export interface Held {
  readonly kind: string;
  readonly path: string;
  readonly statement: Statement;
  readonly envelope: Digest;
  /** base64 SPKI. */
  readonly key: string;
  readonly logIndex: number;
  /** Seconds since 1970, by the log. */
  readonly time: number;
  readonly bundle: Bundle;
}

/** Statements that may be about something else than the release: they say what the keys and the policy of everybody were worth. */
const general: ReadonlySet<string> = new Set(['policy', 'keyRevocation', 'packageRevocation', 'breakGlass']);

/**
 * Every bundle of the capsule, in log order, and who may have signed it. The policy comes first: it says whose the other keys are, and is
 * itself only taken as the chain from the version that trust names.
 * @throws CairnError `verification-failed`, `capsule-damaged`
 */
export function readStatements(files: CapsuleFiles, trusted: { log: LogVerifier; genesis: Trust; trust: Trust }): { held: Held[]; policies: readonly PolicyVersion[] } {
  const paths = [...files.keys()].filter(isBundlePath);
  const bundles = paths.map((path) => ({ path, bundle: parseBundle(files.get(path) ?? Buffer.alloc(0)) }));
  const keys = keysByHint(trusted.trust, bundles.filter(({ path }) => path.startsWith('policy/')).map(({ bundle }) => bundle));
  const held = bundles.map(({ path, bundle }) => readOne(path, bundle, keys, trusted.log)).toSorted((a, b) => a.logIndex - b.logIndex);
  const findings: Finding[] = [];
  const { policies } = auditSigners(held, trusted.genesis, trusted.trust, (finding) => findings.push(finding));
  const [first] = findings;
  if (first !== undefined) throw refused((first.reason as Reason | undefined) ?? 'signer-not-allowed', first.what, { context: { findings } });
  checkPolicyFiles(files, policies);
  checkForeign(files, held);
  return { held, policies };
}

function readOne(path: string, bundle: Bundle, keys: ReadonlyMap<string, string>, log: LogVerifier): Held {
  const key = keys.get(bundle.verificationMaterial.publicKey.hint);
  const { statement, envelope, key: signer, logIndex, time } = verifyBundle(bundle, { log, keys: key === undefined ? [] : [key] });
  if (bundlePath(statement, logIndex) !== path) throw refused('stray-file', `what stands as ${path} is ${bundlePath(statement, logIndex)}`);
  return { kind: kindOf(statement), path, statement, envelope, key: signer, logIndex, time, bundle };
}

/** Keys of trust, and of the people of each policy: a claim, until the policies are checked as the chain that they must be. */
function keysByHint({ keys }: Trust, policies: readonly Bundle[]): Map<string, string> {
  const people = policies.flatMap((bundle) => parsePolicy(canonicalJson(parseStatement(payloadOf(bundle.dsseEnvelope)).predicate)).people.flatMap((one) => one.keys));
  return new Map([keys.record, ...Object.values(keys.admit), ...people].map((spki) => [keyHint(createPublicKey({ key: Buffer.from(spki, 'base64'), format: 'der', type: 'spki' })), spki]));
}

/** The policies as files are what was signed: what people read is what counts. */
function checkPolicyFiles(files: CapsuleFiles, policies: readonly PolicyVersion[]): void {
  const own = new Map(policies.map(({ policy }) => [policyPath(policy.version), canonicalJson(policy)]));
  for (const [path, bytes] of own) if (files.get(path)?.equals(bytes) !== true) throw refused('stray-file', `${path} is not the policy that was signed`);
  const stray = [...files.keys()].find((path) => path.startsWith('policy/') && !own.has(path) && !isBundlePath(path));
  if (stray !== undefined) throw refused('stray-file', `${stray} is no policy that was signed`);
}

function checkForeign(files: CapsuleFiles, held: readonly Held[]): void {
  const own = new Set<string>();
  for (const { kind, statement, logIndex } of held) {
    const inner = kind === 'foreign' ? parsePredicate('foreign', statement) : undefined;
    if (inner?.form !== 'bundle') continue;
    own.add(foreignPath(logIndex));
    if (files.get(foreignPath(logIndex))?.toString('utf8') !== inner.bundle) throw refused('stray-file', `${foreignPath(logIndex)} is not what log entry ${logIndex} holds`);
  }
  const stray = [...files.keys()].find((path) => path.startsWith('foreign/') && !own.has(path));
  if (stray !== undefined) throw refused('stray-file', `${stray} belongs to no statement`);
}

/** That each statement speaks of this release: one of another release proves nothing here, however well it is signed. */
export function requireRelevant(held: readonly Held[], release: Digest, { components }: ReleaseParts): void {
  const own = new Set<Digest>([release, ...components]);
  for (const { kind, statement, path } of held) {
    if (general.has(kind)) continue;
    const subjects = subjectDigests(statement);
    const wanted = ofComponents.has(statement.predicateType) ? own : new Set([release]);
    if (!subjects.some((one) => wanted.has(one))) throw refused('other-release', `${path} is about another release`);
  }
}

/** Statements whose subject may be a component alone. */
const ofComponents: ReadonlySet<string> = new Set([predicateTypes.sbom, predicateTypes.spdx, predicateTypes.scan, predicateTypes.findings, predicateTypes.foreign]);

export function componentTypes(): readonly string[] {
  return [...ofComponents];
}
