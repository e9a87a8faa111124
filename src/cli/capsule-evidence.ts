import { canonicalJson, CairnError, digestOf, type Digest } from '#core';
import type { LogVerifier } from '#log';
import type { EvidenceStatement, PolicyVersion } from '#policy';
import { isOfRelease, isWeighed, weighable, weighForeign, type ForeignReader } from '#release';
import { parseSigstoreRoot, readForeign, type SigstoreRoot } from '#verify';
import { capsulePaths, refused, sigstoreRootPath, type CapsuleFiles } from './capsule-form.ts';
import type { ReleaseParts } from './capsule-release.ts';
import type { Held } from './capsule-statements.ts';

/** A statement that a gate may weigh, and where our log has it: what another tool signed may stand in a log before it stood in ours. */
export interface Candidate {
  readonly logIndex: number;
  readonly evidence: EvidenceStatement;
}

/**
 * What a gate would have weighed under a version of the policy, in log order: as the server gathers it. What other tools signed is verified
 * from its bytes under that policy's keys and the roots; what does not hold is left out, as it was then.
 */
export function evidenceUnder({ policy }: PolicyVersion, held: readonly Held[], release: Digest, { document }: ReleaseParts, log: LogVerifier, roots: readonly SigstoreRoot[]): Candidate[] {
  const read: ForeignReader = (said) => readForeign(said, { roots, keys: policy.people.flatMap(({ keys }) => keys), ours: log });
  return held.flatMap((one): Candidate[] => {
    const logged = { ...one, digest: one.envelope };
    if (one.kind === 'foreign') return foreign(() => weighForeign(logged, one.time, read)).filter((evidence) => isOfRelease(evidence, release, document)).map((evidence) => ({ logIndex: one.logIndex, evidence }));
    if (!isWeighed(one.statement, release, document)) return [];
    return weighable(logged, one.time).map((evidence) => ({ logIndex: one.logIndex, evidence }));
  });
}

function foreign(read: () => EvidenceStatement): EvidenceStatement[] {
  try {
    return [read()];
  } catch (error) {
    if (error instanceof CairnError && (error.code === 'verification-failed' || error.code === 'malformed-document')) return [];
    throw error;
  }
}

/**
 * Whose certificates and logs are believed beside our own log: what the caller gives, or what Cairn ships. The capsule's own must be the
 * same, since the decisions in it were made by them; who takes the capsule's trust takes these too.
 * @param given undefined: the capsule's own are taken
 */
export function rootsOf(files: CapsuleFiles, given: readonly SigstoreRoot[] | undefined): readonly SigstoreRoot[] {
  const own: SigstoreRoot[] = [];
  for (let at = 0; files.has(sigstoreRootPath(at)); at++) own.push(parseSigstoreRoot(files.get(sigstoreRootPath(at)) ?? Buffer.alloc(0)));
  const stray = [...files.keys()].find((path) => path.startsWith(capsulePaths.sigstoreRoots) && !own.some((_, at) => sigstoreRootPath(at) === path));
  if (stray !== undefined) throw refused('stray-file', `${stray} is no root of Sigstore that follows another`);
  if (given === undefined || own.length === 0) return given === undefined ? own : given;
  const known = new Set(given.map(meaning));
  if (own.some((root) => !known.has(meaning(root)))) {
    throw refused('trust-other', 'what other tools signed was believed by another root of Sigstore than the one that you hold', { fix: 'Give the one that you trust: --sigstore-root FILE. The capsule has its own in trust/; it proves nothing about itself' });
  }
  return given;
}

/** By what it says, however its text is laid out. */
function meaning(root: SigstoreRoot): Digest {
  return digestOf(canonicalJson(root.json));
}
