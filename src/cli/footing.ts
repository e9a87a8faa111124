import { createPublicKey } from 'node:crypto';
import { CairnError, canonicalJson, digestOf } from '#core';
import { isConsistent, readCheckpoint, type Checkpoint, type LogVerifier } from '#log';
import { parsePolicy, type Policy } from '#policy';
import { verifierOf, type Trust } from '#verify';
import type { System } from './context.ts';
import type { Session } from './session.ts';
import { rememberCheckpoint, trustOf } from './trust.ts';

/** What a check stands on: the trust file, and from it the log's keys, the policy and the newest checkpoint. Nothing else is believed. */
export interface Footing {
  readonly trust: Trust;
  readonly log: LogVerifier;
  readonly policy: Policy;
  readonly checkpoint: Checkpoint;
}

/** @throws CairnError `verification-failed` where the server shows another policy, or a log that went back or forked */
export async function openFooting(system: System, session: Session): Promise<Footing> {
  const trust = await trustOf(system, session.home);
  const log = verifierOf(trust);
  const { checkpoint } = await session.api.info();
  const newest = await rememberCheckpoint(session, log, checkpoint.note);
  const policyBytes = canonicalJson(await session.api.policy());
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
export async function requireSameLog(session: Session, footing: Footing, note: string): Promise<void> {
  const { log, checkpoint } = footing;
  const older = readCheckpoint(note, log);
  if (older.size > checkpoint.size) throw new CairnError('verification-failed', `a proof is against ${older.size} entries, the log shows ${checkpoint.size}`, { fix: 'cairn audit' });
  const proof = older.size < checkpoint.size ? await session.api.consistency(older.size, checkpoint.size) : [];
  if (!isConsistent(older.size, older.root, checkpoint.size, checkpoint.root, proof.map((hash) => Buffer.from(hash, 'base64')))) {
    throw new CairnError('verification-failed', `the log's ${checkpoint.size} entries do not continue the ${older.size} that a proof is against`, { fix: 'cairn audit' });
  }
}

export function publicKey(spki: string) {
  return createPublicKey({ key: Buffer.from(spki, 'base64'), format: 'der', type: 'spki' });
}
