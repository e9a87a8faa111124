import { predicateTypes, subjectDigests, type Facts, type Statement } from '#attest';
import { CairnError, canonicalJson, malformed, verificationFailed, type Digest } from '#core';
import { parsePolicy, policyDigest, type Person, type Policy } from './policy.ts';
import { openPlaces, type OpenPlace } from './quorum.ts';
import { judgeSigner } from './signer.ts';

// How one version of the policy follows another: everybody who reads the log, the server's fold, an audit, a client with a chain of
// bundles, comes to the same answer by these functions. Nobody, the server included, changes a policy alone.

/** A version of the policy, in force for the entries of the log behind this one. */
export interface PolicyVersion {
  readonly policy: Policy;
  readonly digest: Digest;
  readonly logIndex: number;
}

export interface PolicySignature {
  /** base64 SPKI. */
  readonly key: string;
  readonly logIndex: number;
  /** Seconds since 1970, by the log. */
  readonly time: number;
}

type RevokedKeys = readonly Facts['revokedKeys'][number][];

/** @throws CairnError `malformed-document` where the statement is not about the policy that it holds, and that alone */
export function readPolicyStatement(statement: Statement): { readonly policy: Policy; readonly digest: Digest } {
  if (statement.predicateType !== predicateTypes.policy) throw malformed('predicate-mismatch', `${statement.predicateType} is no policy`);
  const policy = parsePolicy(canonicalJson(statement.predicate));
  const digest = policyDigest(policy);
  const subjects = subjectDigests(statement);
  if (subjects.length !== 1 || subjects[0] !== digest) throw malformed('subject-mismatch', 'the statement is about something else than the policy in it');
  return { policy, digest };
}

export interface Count {
  /** People whose signature counts, each once. */
  readonly signers: readonly Person[];
  readonly open: readonly OpenPlace[];
  /** What speaks against the others, by log index. */
  readonly complaints: ReadonlyMap<number, string>;
}

/** Signatures on the next version, counted by the version before it: people, not keys; machines never. */
export function countSignatures(before: Policy, revokedKeys: RevokedKeys, signatures: readonly PolicySignature[]): Count {
  const complaints = new Map<number, string>();
  const signers = new Map<string, Person>();
  for (const { key, logIndex, time } of signatures) {
    const { person, complaint } = judgeSigner(before, { revokedKeys }, { signer: { kind: 'key', key }, logIndex, time });
    const wrong = complaint ?? (person?.machine === true ? `is signed by ${person.name}, a machine` : undefined);
    if (wrong !== undefined || person === undefined) complaints.set(logIndex, wrong ?? 'is signed by nobody');
    else signers.set(person.name, person);
  }
  const all = [...signers.values()];
  return { signers: all, open: openPlaces(before, all), complaints };
}

export function isNext(before: PolicyVersion, policy: Policy): boolean {
  return policy.version === before.policy.version + 1 && policy.previous === before.digest;
}

/** An entry of the log that holds a policy, whose signature has been verified. */
export interface PolicyEntry extends PolicySignature {
  readonly statement: Statement;
}

/**
 * Reads the policy statements of a log, in its order, as the fold does. The first is the genesis version, signed by one of its people; each
 * later one comes into force with the signature that completes the quorum of the version before it. What is signed under a version that
 * is in force no more counts for nothing.
 */
export class PolicyChain {
  readonly versions: PolicyVersion[] = [];
  readonly #signatures = new Map<Digest, PolicySignature[]>();
  readonly #genesis: Digest;

  constructor(genesis: Digest) {
    this.#genesis = genesis;
  }

  /** @throws CairnError `verification-failed` where the first version is another than the one that is trusted; `malformed-document` */
  take(entry: PolicyEntry, revokedKeys: RevokedKeys): { readonly inForce: boolean; readonly complaint: string | undefined } {
    const { policy, digest } = readPolicyStatement(entry.statement);
    const before = this.versions.at(-1);
    if (before === undefined) {
      requireGenesis(digest, this.#genesis);
      const { complaints } = countSignatures(policy, revokedKeys, [entry]);
      const complaint = policy.version === 1 ? complaints.get(entry.logIndex) : 'is no first version';
      if (complaint !== undefined) throw verificationFailed('genesis-policy', `the first policy at log entry ${entry.logIndex} ${complaint}`, { fix: genesisFix });
      this.versions.push({ policy, digest, logIndex: entry.logIndex });
      return { inForce: true, complaint: undefined };
    }
    if (!isNext(before, policy)) return { inForce: false, complaint: `signs version ${policy.version} after a version that is not in force` };
    const signatures = [...(this.#signatures.get(digest) ?? []), entry];
    this.#signatures.set(digest, signatures);
    const { open, complaints } = countSignatures(before.policy, revokedKeys, signatures);
    if (open.length === 0) this.versions.push({ policy, digest, logIndex: entry.logIndex });
    return { inForce: open.length === 0, complaint: complaints.get(entry.logIndex) };
  }

  /** The version in force for what stands at the place in the log. */
  at(logIndex: number): PolicyVersion | undefined {
    return this.versions.findLast((one) => one.logIndex < logIndex);
  }

  /**
   * A rollback is decided before it switches and logged behind that: the version right before the one in force is accepted for it.
   * @throws CairnError `verification-failed` where another policy was in force at the verdict's place in the log
   */
  requirePinned(pinned: Digest, logIndex: number, direction: 'promote' | 'rollback'): void {
    const inForce = this.versions.filter((one) => one.logIndex < logIndex);
    if (inForce.slice(direction === 'rollback' ? -2 : -1).some(({ digest }) => digest === pinned)) return;
    throw verificationFailed('stale-policy', `the verdict at log entry ${logIndex} was decided by a policy that was not in force there`, { fix: 'Do not rely on it: cairn promote decides anew; cairn audit tells what else is wrong' });
  }

  /** What is signed so far of a version that is not in force. */
  missing(digest: Digest, revokedKeys: RevokedKeys): readonly OpenPlace[] {
    const before = this.versions.at(-1);
    return before === undefined ? [] : countSignatures(before.policy, revokedKeys, this.#signatures.get(digest) ?? []).open;
  }
}

const genesisFix = 'Do not promote; compare cairn.trust.json with its history: git log -p cairn.trust.json';

/** A server that swaps the first policy could give every role to itself. */
function requireGenesis(digest: Digest, trusted: Digest): void {
  if (digest !== trusted) throw verificationFailed('genesis-policy', 'the first policy of the log is not the one in cairn.trust.json', { fix: genesisFix });
}

export function placesText(open: readonly OpenPlace[]): string {
  return open.map(({ role, people }) => `${role} (${people.join(' or ') || 'nobody has the role'})`).join(', ');
}

export function staleProposal(policy: Policy, before: PolicyVersion): CairnError {
  const why = policy.previous === before.digest ? `it is version ${policy.version}` : 'it follows another version';
  return new CairnError('conflict', `version ${before.policy.version} of the policy is in force, and the proposal cannot follow it: ${why}`, { fix: 'cairn policy show --yaml, make the change there, and cairn policy propose FILE' });
}
