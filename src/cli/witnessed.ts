import { verificationFailed } from '#core';
import { cosignedAt, parseNote, parseVkey, readCheckpoint } from '#log';
import type { Footing } from './footing.ts';
import { witnessKeys } from './footing.ts';
import { count } from './output.ts';
import { continues, contradiction, shownBy } from './remember.ts';
import type { Session } from './session.ts';

/** Who of the policy's witnesses cosigned a tree of this log that covers what is looked at. */
export interface Witnessed {
  readonly witnesses: readonly { readonly name: string; readonly size: number; readonly time: number }[];
  /** How many the policy names. */
  readonly of: number;
  /** How many its rules ask for where they ask for the fewest; 0 where none does. */
  readonly threshold: number;
}

/**
 * Each cosignature checked here, by the keys of the policy that the trust file pins: the server only hands over notes. A tree that a witness saw and that does not go together with the one that we
 * are shown is two histories, one for us and one for the others. @param newest log index of the newest entry that must be covered
 * @throws CairnError `verification-failed`: `not-witnessed` where a rule of the policy wants more than there are; those of `rememberCheckpoint`
 */
export async function witnessedBy(session: Session, footing: Footing, newest: number): Promise<Witnessed> {
  const { log, policy, checkpoint } = footing;
  const named = policy.witnesses ?? [];
  const thresholds = policy.environments.flatMap(({ rules }) => rules.flatMap((rule) => (rule.kind === 'witnessed' ? [rule.threshold] : [])));
  const threshold = thresholds.length === 0 ? 0 : Math.min(...thresholds);
  const answers = named.length === 0 ? [] : await session.api.witnessed(newest + 1, threshold);
  const shown = shownBy(session.api);
  const witnesses: Witnessed['witnesses'][number][] = [];
  for (const { name, key } of named) {
    const note = answers.find((one) => one.name === name && one.vkey === key)?.note ?? null;
    if (note === null) continue;
    const seen = readCheckpoint(note, log);
    const time = cosignedAt(parseNote(note), parseVkey(key));
    if (time === undefined) continue;
    const [small, large] = seen.size <= checkpoint.size ? [seen, checkpoint] : [checkpoint, seen];
    if (!(await continues(shown, small, large))) throw await contradiction(session.home, shown, log, seen, checkpoint, witnessKeys(policy));
    if (seen.size > newest) witnesses.push({ name, size: seen.size, time });
  }
  if (witnesses.length < threshold) {
    const away = answers.filter(({ state }) => state === 'unreachable' || state === 'throttled').map(({ name, state, detail }) => `${name} is ${state}: ${detail}`);
    throw verificationFailed('not-witnessed', `${witnesses.length} of ${count(threshold, 'witness', 'witnesses')} have seen the log up to entry ${newest}: it may be shown to you alone`, {
      fix: away.length === 0 ? 'cairn status names the witnesses; ask again when they have seen it' : `${away.join('; ')}. Ask again when they answer`, context: { witnesses: witnesses.map(({ name }) => name), threshold },
    });
  }
  return { witnesses, of: named.length, threshold };
}

/** The checkpoint that we hold, with the cosignatures that its witnesses give it when they are asked now; as it is where the log has grown meanwhile. */
export async function cosignedNote(session: Session, { checkpoint, policy }: Pick<Footing, 'checkpoint' | 'policy'>): Promise<string> {
  if (policy.witnesses === undefined) return checkpoint.note;
  await session.api.witnessed(checkpoint.size, policy.witnesses.length);
  const { checkpoint: now } = await session.api.info();
  return parseNote(now.note).text === parseNote(checkpoint.note).text ? now.note : checkpoint.note;
}
