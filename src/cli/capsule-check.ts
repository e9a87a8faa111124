import { canonicalJson, type Digest } from '#core';
import { cosignedAt, parseNote, parseVkey, type Checkpoint, type LogVerifier } from '#log';
import type { Policy, PolicyVersion } from '#policy';
import { currentTrust, parseTrustFile, requireChain, trustDigest, verifierOf, type SigstoreRoot, type Trust, type TrustFile } from '#verify';
import { trustFiles } from './capsule-collect.ts';
import { decideAgain, type Decided } from './capsule-decide.ts';
import { evidenceUnder, rootsOf } from './capsule-evidence.ts';
import { capsulePaths, damaged, proofPath, refused, type CapsuleAbout, type CapsuleFiles } from './capsule-form.ts';
import { checkProofs } from './capsule-proofs.ts';
import { checkRelease, type ReleaseParts } from './capsule-release.ts';
import { checkRequests } from './capsule-requests.ts';
import { readStatements, requireRelevant, type Held } from './capsule-statements.ts';

/** What the caller believes, from elsewhere than the capsule. */
export interface GivenTrust {
  readonly file: TrustFile;
  /** Of Sigstore, for what other tools signed. */
  readonly roots: readonly SigstoreRoot[];
}

/** What held, for people and for --json. */
export interface CapsuleReport {
  readonly trust: Digest;
  readonly held: readonly Held[];
  readonly policies: readonly PolicyVersion[];
  readonly parts: ReleaseParts;
  readonly checkpoint: { readonly size: number; readonly root: string; readonly time: number };
  /** Witnesses of the newest policy that cosigned that checkpoint. */
  readonly witnesses: readonly { readonly name: string; readonly time: number }[];
  readonly decided: readonly Decided[];
}

/**
 * The whole check. Nothing but the capsule's bytes and the trust that the caller has from elsewhere: no network, no home, no clock.
 * 1. trust: the capsule's is the caller's, or follows from it by its signatures
 * 2. every bundle: signature, leaf, inclusion, checkpoint; who may sign what; the policy as the chain from the version that trust names
 * 3. every statement in one newest checkpoint, and every other checkpoint the beginning of it
 * 4. the release, hashed from its digest down
 * 5. every statement about this release and no other
 * 6. every decision made again
 * @throws CairnError `verification-failed`, with a reason
 */
export async function checkCapsule(about: CapsuleAbout, files: CapsuleFiles, given: GivenTrust | undefined): Promise<CapsuleReport> {
  const { trust, file } = trustOfCapsule(files, given?.file);
  const roots = rootsOf(files, given?.roots);
  const log = verifierOf(trust);
  if (about.origin !== log.origin) throw refused('trust-other', `it is of the log ${about.origin}, trust is of ${log.origin}`);
  const { held, policies } = readStatements(files, { log, genesis: file.genesis, trust });
  const newest = checkProofs(files, log, held);
  if (newest.size !== about.checkpoint.size || newest.root.toString('hex') !== about.checkpoint.root) throw refused('log-fork', 'its manifest names another checkpoint than it holds');
  const parts = await checkRelease(files, about);
  requireRelevant(held, about.release, parts);
  checkTrustFiles(files, file, { log, trust }, policies.map(({ policy }) => policy));
  checkStrays(files, held);
  checkRequests(held);
  const verdicts = held.filter(({ kind }) => kind === 'verdict');
  const decided = verdicts.map((verdict) => decideAgain(verdict, { release: about.release, parts, held, policies, evidence: (version) => evidenceUnder(version, held, about.release, parts, log, roots) }));
  return { trust: trustDigest(trust), held, policies, parts, witnesses: witnessesOf(newest, policies), checkpoint: { size: newest.size, root: about.checkpoint.root, time: newest.time }, decided };
}

/** @throws CairnError `verification-failed` where a line in the name of a witness is not by its key */
function witnessesOf({ note }: Checkpoint, policies: readonly PolicyVersion[]): { name: string; time: number }[] {
  return (policies.at(-1)?.policy.witnesses ?? []).flatMap(({ name, key }) => {
    const time = cosignedAt(parseNote(note), parseVkey(key));
    return time === undefined ? [] : [{ name, time }];
  });
}

/** The caller's trust decides. The capsule may have an older or a newer version of it, which must follow by its own signatures. */
function trustOfCapsule(files: CapsuleFiles, given: TrustFile | undefined): { trust: Trust; file: TrustFile } {
  const bytes = files.get(capsulePaths.trust);
  if (bytes === undefined) throw damaged(`${capsulePaths.trust} is missing`);
  const own = parseTrustFile(bytes);
  if (given === undefined) return { trust: currentTrust(own), file: own };
  if (trustDigest(given.genesis) !== trustDigest(own.genesis)) throw refused('trust-other', 'it was made under other keys than those of the trust that you hold', { fix: 'Compare trust/cairn.trust.json in it with yours; ask whoever made the capsule whose log it is of' });
  const [older, newer] = own.rotations.length < given.rotations.length ? [own, given] : [given, own];
  return { trust: requireChain(trustDigest(currentTrust(older)), newer), file: newer };
}

/** The keys that the README has people use are those of trust: else cosign would be asked about the forger's own. */
function checkTrustFiles(files: CapsuleFiles, file: TrustFile, footing: { log: LogVerifier; trust: Trust }, policies: readonly Policy[]): void {
  const own = trustFiles(file, footing, policies);
  for (const [path, bytes] of own) {
    if (path === capsulePaths.trust) continue;
    const found = files.get(path);
    if (found === undefined || !(path.endsWith('.json') ? sameJson(found, bytes) : found.equals(bytes))) throw refused('trust-other', `${path} is not what trust says`);
  }
  const stray = [...files.keys()].find((path) => path.startsWith('trust/') && !own.has(path) && !path.startsWith(capsulePaths.sigstoreRoots));
  if (stray !== undefined) throw refused('stray-file', `${stray} is a key that nobody of the policy has`);
}

function sameJson(found: Buffer, wanted: Buffer): boolean {
  try {
    return canonicalJson(JSON.parse(found.toString('utf8'))).equals(canonicalJson(JSON.parse(wanted.toString('utf8'))));
  } catch {
    return false;
  }
}

/** Nothing rides along that was not checked. */
function checkStrays(files: CapsuleFiles, held: readonly Held[]): void {
  const proofs = new Set<string>([capsulePaths.checkpoint, capsulePaths.consistency, ...held.map(({ logIndex }) => proofPath(logIndex))]);
  const bundles = new Set(held.map(({ path }) => path));
  // Each of these folders was held to what must be in it.
  const checked = /^(trust|release|policy|foreign)\//;
  const stray = [...files.keys()].find((path) => path !== capsulePaths.readme && !bundles.has(path) && !proofs.has(path) && !checked.test(path));
  if (stray !== undefined) throw refused('stray-file', `${stray} belongs to nothing in it`);
}
