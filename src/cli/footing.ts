import { createPublicKey } from 'node:crypto';
import { CairnError, canonicalJson, digestOf } from '#core';
import { parseVkey, readCheckpoint, type Checkpoint, type LogVerifier, type NoteKey } from '#log';
import { parsePolicy, type Policy } from '#policy';
import { verifierOf, type Trust } from '#verify';
import type { System } from './context.ts';
import type { Session } from './session.ts';
import { continues, contradiction, rememberCheckpoint, shownBy } from './remember.ts';
import { trustOf } from './trust.ts';

/** What a check stands on: the trust file, and from it the log's keys, the policy and the newest checkpoint. Nothing else is believed. */
export interface Footing {
  readonly trust: Trust;
  readonly log: LogVerifier;
  readonly policy: Policy;
  readonly checkpoint: Checkpoint;
}

/** @throws CairnError `verification-failed` where the server shows another policy, or a log that went back or forked */
export async function openFooting(system: System, session: Session): Promise<Footing> {
  const [trust, { checkpoint }, policy] = await Promise.all([trustOf(system, session.home), session.api.info(), session.api.policy()]);
  const log = verifierOf(trust);
  const newest = await rememberCheckpoint(session.home, shownBy(session.api), log, checkpoint.note, listedKeys(policy));
  const policyBytes = canonicalJson(policy);
  if (digestOf(policyBytes) !== trust.policy) {
    throw new CairnError('verification-failed', "the server's policy is not the one in cairn.trust.json", { fix: 'Do not promote; compare cairn.trust.json with its history: git log -p cairn.trust.json' });
  }
  return { trust, log, policy: parsePolicy(policyBytes), checkpoint: newest };
}

/** Who holds a key, in words: a person of the policy, `admit-ENVIRONMENT` or `record`; undefined for a stranger. */
export function holderOf({ trust, policy }: Pick<Footing, 'trust' | 'policy'>, key: string): string | undefined {
  const person = policy.people.find((one) => one.keys.includes(key));
  if (person !== undefined) return person.name;
  if (key === trust.keys.record) return 'record';
  const admitted = Object.entries(trust.keys.admit).find(([, one]) => one === key);
  return admitted === undefined ? undefined : `admit-${admitted[0]}`;
}

/** Every key that may have signed something that counts. */
export function knownKeys({ trust, policy }: Pick<Footing, 'trust' | 'policy'>): string[] {
  return [...policy.people.flatMap(({ keys }) => keys), ...Object.values(trust.keys.admit), trust.keys.record];
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

export function publicKey(spki: string) {
  return createPublicKey({ key: Buffer.from(spki, 'base64'), format: 'der', type: 'spki' });
}
