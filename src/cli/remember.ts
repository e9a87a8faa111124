import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CairnError, verificationFailed, writeFileDurable } from '#core';
import type { Home } from '#home';
import { consistencyProof, isConsistent, judgeEvidence, makeEvidence, misdeedError, readCheckpoint, rootAt, formatVkey, type Checkpoint, type LogEvidence, type LogVerifier, type NoteKey, type TileReader } from '#log';
import type { ApiClient } from '#server';
import { keepEvidence } from './keep-evidence.ts';

/** What a log shows of itself, beyond its newest checkpoint. */
export interface ShownLog {
  /** base64. */
  consistency(from: number, to: number): Promise<readonly string[]>;
  tile: TileReader['tile'];
  /** Its newest checkpoint, asked for again. */
  newest(): Promise<string>;
}

export function shownBy(api: ApiClient): ShownLog {
  return { consistency: api.consistency, tile: api.tile, newest: async () => (await api.info()).checkpoint.note };
}

/** The same, with proofs made here from the log's tiles, each asked for once: for many proofs at one time. */
export function shownByTiles(api: ApiClient): ShownLog {
  const tiles = new Map<string, Promise<Uint8Array>>();
  const tile = (level: number, index: number): Promise<Uint8Array> => {
    const name = `${level}/${index}`;
    const found = tiles.get(name) ?? api.tile(level, index);
    tiles.set(name, found);
    return found;
  };
  return { ...shownBy(api), tile, consistency: async (from, to) => (await consistencyProof({ tile }, from, to)).map((hash) => hash.toString('base64')) };
}

/** The log as it rests on the disk shows itself in the same way. */
export function shownFrom(tiles: TileReader, newest: string): ShownLog {
  return { tile: tiles.tile, newest: async () => newest, consistency: async (from, to) => (await consistencyProof(tiles, from, to)).map((hash) => hash.toString('base64')) };
}

export const evidenceFolder = ({ paths }: Pick<Home, 'paths'>): string => join(paths.known, 'evidence');

const decoded = (hashes: readonly string[]): Buffer[] => hashes.map((hash) => Buffer.from(hash, 'base64'));

/**
 * Takes a newer checkpoint only if the log grew from the one remembered. A log that shows two histories is refused, and what it signed is kept with the proof, on the disk before anybody is
 * told: a log that has lied once must not be able to say that it never did. @throws CairnError `verification-failed`: `log-fork`, `log-rewrite`, `log-rewind`, `log-stale`
 */
export async function rememberCheckpoint(home: Pick<Home, 'paths'>, shown: ShownLog, log: LogVerifier, note: string, witnesses: readonly NoteKey[] = []): Promise<Checkpoint> {
  const path = join(home.paths.known, `${log.origin}.checkpoint`);
  const read = async () => {
    const saved = await readFile(path, 'utf8').catch(() => undefined);
    return saved === undefined ? undefined : readCheckpoint(saved, log);
  };
  let next = readCheckpoint(note, log);
  let known = await read();
  // Another command of ours may have seen a newer one while this answer was on its way.
  if (known !== undefined && next.size < known.size && next.time <= known.time) next = readCheckpoint(await shown.newest(), log);
  if (known !== undefined) {
    if (next.size < known.size && next.time <= known.time && (await continues(shown, next, known))) return known;
    // An honest log's time never goes back while it grows.
    const grew = next.size >= known.size && (next.size === known.size || next.time >= known.time);
    if (!grew || !(await continues(shown, known, next))) throw await contradiction(home, shown, log, known, next, witnesses);
  }
  known = await read();
  if (known === undefined || (known.size <= next.size && known.note !== next.note)) await writeFileDurable(path, next.note);
  return next;
}

/** Whether the log shows that the tree of `from` is the beginning of that of `to`. */
export async function continues(shown: ShownLog, from: Checkpoint, to: Checkpoint): Promise<boolean> {
  // Asked for only where there is something to prove; a log that cannot prove it has not continued.
  const proof = to.size > from.size ? await shown.consistency(from.size, to.size).catch(absent) : [];
  return proof !== undefined && isConsistent(from.size, from.root, to.size, to.root, decoded(proof));
}

/** An answer that it has no such proof is an answer; no answer is none. */
function absent(error: unknown): undefined {
  if (error instanceof CairnError && !error.retryable && error.code !== 'unreachable') return undefined;
  throw error;
}

/** Keeps two checkpoints that do not go together, with whatever the log itself shows about them. @returns the error to refuse it with */
export async function contradiction(home: Pick<Home, 'paths'>, shown: ShownLog, log: LogVerifier, known: Checkpoint, next: Checkpoint, witnesses: readonly NoteKey[] = []): Promise<CairnError> {
  const [small, large] = [known, next].toSorted((a, b) => a.size - b.size) as [Checkpoint, Checkpoint];
  const proof = small.size < large.size ? await ownProof(shown, small, large) : null;
  const evidence = makeEvidence({ origin: log.origin, earlier: known.note, later: next.note, proof, witnesses: witnesses.map(formatVkey) });
  const file = await keepEvidence(evidenceFolder(home), evidence);
  const [first] = judgeEvidence(evidence, log);
  if (first !== undefined) return misdeedError(first, file);
  const details = { context: { evidence: file }, fix: `The server may run on an old copy of its ledger: restore one that goes at least so far. Both checkpoints are kept: cairn ledger evidence ${file}` };
  if (next.size < known.size) return verificationFailed('log-stale', `the log ${log.origin} shows ${next.size} entries, this machine has seen ${known.size}`, details);
  return verificationFailed('log-rewrite', `the log ${log.origin} does not show that its ${next.size} entries continue the ${known.size} that this machine has seen`, details);
}

/** From the log's own tiles: with which root its larger tree begins at the smaller size. Where it will not show that either, our word is all there is, and the evidence says so. */
async function ownProof(shown: ShownLog, small: Checkpoint, large: Checkpoint): Promise<LogEvidence['proof']> {
  try {
    const root = await rootAt(shown, small.size);
    const hashes = await shown.consistency(small.size, large.size);
    return isConsistent(small.size, root, large.size, large.root, decoded(hashes)) ? { root: root.toString('base64'), hashes: [...hashes] } : null;
  } catch (error) {
    if (error instanceof CairnError) return null;
    throw error;
  }
}
