import { parseVkey, readCheckpoint, type Checkpoint, type LogVerifier, type NoteKey } from '#log';
import type { Policy, PolicyChain } from '#policy';
import { verifierOf, type Trust } from '#verify';
import type { System } from './context.ts';
import type { Session } from './session.ts';
import { claimedPolicy, followPolicy, notesOf, rememberPolicy, requireSigned } from './policy-chain.ts';
import { continues, contradiction, rememberCheckpoint, shownBy } from './remember.ts';
import { trustFileOf, trustOf } from './trust.ts';

/** What a check stands on: the trust file, and from it the log's keys, the policy and the newest checkpoint. Nothing else is believed. */
export interface Footing {
  readonly trust: Trust;
  readonly log: LogVerifier;
  /** The version in force. */
  readonly policy: Policy;
  /** Every version from the one in the trust file on, each signed by the quorum before it. */
  readonly policies: PolicyChain;
  readonly checkpoint: Checkpoint;
}

/** @throws CairnError `verification-failed` where the server shows another policy, or a log that went back or forked */
export async function openFooting(system: System, session: Session): Promise<Footing> {
  const [trust, { genesis }, { checkpoint, policy: shown }, answer] = await Promise.all([trustOf(system, session.home), trustFileOf(system, session.home), session.api.info(), session.api.policies()]);
  const log = verifierOf(trust);
  const newest = await rememberCheckpoint(session.home, shownBy(session.api), log, checkpoint.note, listedKeys(claimedPolicy(answer)));
  const policies = followPolicy(genesis, log, answer);
  const [policy] = policies.versions.slice(-1);
  if (policy === undefined) throw new TypeError('a policy was followed to nowhere');
  requireSigned(policies, shown);
  await rememberPolicy(session.home, log, policies);
  const footing = { trust, log, policy: policy.policy, policies, checkpoint: newest };
  await Promise.all(notesOf(answer.statements).filter((note) => note !== checkpoint.note).map((note) => requireSameLog(session, footing, note)));
  return footing;
}

/** Who holds a key, in words: a person of the policy, `admit-ENVIRONMENT` or `record`; undefined for a stranger. */
export function holderOf({ trust, policies }: Pick<Footing, 'trust' | 'policies'>, key: string): string | undefined {
  // Who has left is still who signed.
  const person = policies.versions.toReversed().flatMap(({ policy }) => policy.people).find((one) => one.keys.includes(key));
  if (person !== undefined) return person.name;
  if (key === trust.keys.record) return 'record';
  const admitted = Object.entries(trust.keys.admit).find(([, one]) => one === key);
  return admitted === undefined ? undefined : `admit-${admitted[0]}`;
}

/** Every key that may have signed something that counts. */
export function knownKeys({ trust, policies }: Pick<Footing, 'trust' | 'policies'>): string[] {
  return [...new Set(policies.versions.flatMap(({ policy }) => policy.people.flatMap(({ keys }) => keys))), ...Object.values(trust.keys.admit), trust.keys.record];
}

/** That the tree of an older checkpoint is the beginning of the newest one: what was proven against it is still in the log. */
export async function requireSameLog(session: Session, footing: Footing, note: string, shown = shownBy(session.api)): Promise<void> {
  const { log, checkpoint } = footing;
  const older = readCheckpoint(note, log);
  // One that was logged since we asked may be newer than our newest.
  const [small, large] = older.size <= checkpoint.size ? [older, checkpoint] : [checkpoint, older];
  // The log signed both: what does not go together is kept as evidence against it.
  if (!(await continues(shown, small, large))) throw await contradiction(session.home, shown, log, older, checkpoint, witnessKeys(footing.policy));
}

/** Keys of witnesses as the server lists them, before the policy is believed: only to say later which of them vouched for what. */
function listedKeys(policy: unknown): NoteKey[] {
  const listed = (policy as { readonly witnesses?: unknown } | null)?.witnesses;
  return (Array.isArray(listed) ? listed.slice(0, 16) : []).flatMap((one: unknown) => {
    try {
      return [parseVkey(String((one as { readonly key?: unknown }).key))];
    } catch {
      return [];
    }
  });
}

/** The keys of the policy's witnesses. */
export function witnessKeys(policy: Policy): NoteKey[] {
  return (policy.witnesses ?? []).map(({ key }) => parseVkey(key));
}
