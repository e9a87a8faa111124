import { z } from 'zod';
import { parsePredicate, predicateTypes, type Statement } from '#attest';
import { CairnError, isDigest, problemsOf, verificationFailed, type Digest, type Reason } from '#core';

// What stands where in a capsule. Names follow from contents: who checks one makes each name again, so that no file can pass for another.

const capsuleKind = 'cairn-capsule';

const digest = z.custom<Digest>(isDigest, 'not a sha256 digest');
const about = z.strictObject({
  kind: z.literal(capsuleKind),
  version: z.literal(1),
  cairn: z.string().max(64),
  created: z.iso.datetime(),
  origin: z.string().max(253),
  application: z.string().regex(/^[a-z0-9][a-z0-9-]{0,62}$/),
  release: digest,
  checkpoint: z.strictObject({ size: z.int().positive(), root: z.string().regex(/^[0-9a-f]{64}$/) }),
  /** Layers and other blobs that the release names and the capsule leaves out. */
  without: z.array(z.strictObject({ digest, size: z.int().nonnegative() })),
});
export type CapsuleAbout = z.infer<typeof about>;

/** A capsule's files by name, as bytes. */
export type CapsuleFiles = ReadonlyMap<string, Buffer>;

export const capsulePaths = {
  readme: 'README.md',
  trust: 'trust/cairn.trust.json',
  trustedRoot: 'trust/trusted_root.json',
  sigstoreRoots: 'trust/sigstore_',
  checkpoint: 'proofs/checkpoint',
  consistency: 'proofs/consistency.json',
} as const;

const kinds = new Map<string, string>(Object.entries(predicateTypes).map(([name, type]) => [type, name]));
const recorded: ReadonlySet<string> = new Set(['request', 'intent', 'outcome', 'incident', 'resolution', 'drill']);

export function kindOf({ predicateType }: Statement): string {
  return kinds.get(predicateType) ?? 'other';
}

function numbered(logIndex: number): string {
  return String(logIndex).padStart(8, '0');
}

/** Where the bundle of a statement stands: evidence that a gate weighs, verdicts, the policy, or what was recorded of it all. */
export function bundlePath(statement: Statement, logIndex: number): string {
  const kind = kindOf(statement);
  const file = (folder: string, name: string) => `${folder}/${numbered(logIndex)}-${name}.sigstore.json`;
  if (kind === 'verdict') {
    const { verificationResult, 'https://cairn.internal/verdict/v1': { environment } } = parsePredicate('verdict', statement);
    return file('verdicts', `${verificationResult.toLowerCase()}-${environment}`);
  }
  if (kind === 'policy') return file('policy', 'policy');
  return file(recorded.has(kind) ? 'record' : 'evidence', kind.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`));
}

export function isBundlePath(path: string): boolean {
  return /^(evidence|verdicts|policy|record)\/\d{8,16}-[a-z0-9-]+\.sigstore\.json$/.test(path);
}

/** What another tool signed, as it wrote it: the same text as inside of the `foreign` statement at that place of the log. */
export function foreignPath(logIndex: number): string {
  return `foreign/${numbered(logIndex)}.sigstore.json`;
}

/** Roots of Sigstore by which what other tools signed was believed, one a file, as cosign reads them. */
export function sigstoreRootPath(at: number): string {
  return `${capsulePaths.sigstoreRoots}trusted_root${at === 0 ? '' : `_${at + 1}`}.json`;
}

export function proofPath(logIndex: number): string {
  return `proofs/${numbered(logIndex)}.tlog-proof`;
}

/** A manifest, an index or the document of the release, by its digest. */
export function releasePath(of: Digest): string {
  return `release/${of.slice(7)}.json`;
}

/** A version of the policy as its canonical bytes: what its digest is of. */
export function policyPath(version: number): string {
  return `policy/v${version}.json`;
}

export function keyPath(name: string): string {
  return `trust/keys/${name}.pub`;
}

/** @throws CairnError `capsule-damaged` */
export function readAbout(value: unknown): CapsuleAbout {
  const parsed = about.safeParse(value);
  if (!parsed.success) throw damaged(`its manifest is not one of a capsule: ${problemsOf(parsed.error)}`);
  return parsed.data;
}

export function damaged(why: string, cause?: unknown): CairnError {
  return new CairnError('capsule-damaged', `the capsule is refused: ${why}`, { cause, fix: 'Ask whoever made it for another: cairn audit --capsule FILE', context: { reason: 'capsule-damaged' } });
}


/** It can be read, and must not be believed. */
export function refused(reason: Reason, why: string, more: { fix?: string; context?: Readonly<Record<string, unknown>> } = {}): CairnError {
  const { fix = 'Ask whoever made the capsule; where another is refused too, ask for cairn ledger evidence, and do not rely on this release', context = {} } = more;
  return verificationFailed(reason, `the capsule is refused: ${why}`, { fix, context });
}
