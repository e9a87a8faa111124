import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { fixedClock, noFaults, sha256, type Clock } from '#core';
import { appendLeaves, consistencyProof, formatCheckpoint, logNoteKeys, rootAt, type LogVerifier, type NoteKey, type TileReader } from '#log';
import { generateSigner } from '#sign';
import { openSeen, type SeenTrees } from './seen.ts';
import { ownKey, type WitnessKey } from './own-key.ts';
import { addCheckpoint, type Answer, type Misbehaved, type WitnessOptions } from './witness.ts';
import { formatAddCheckpoint } from './request.ts';

/** A log in memory, with its keys, that can be made to lie. */
export interface ToyLog {
  readonly origin: string;
  readonly keys: Parameters<typeof formatCheckpoint>[0];
  readonly noteKeys: NoteKey[];
  readonly verifier: LogVerifier;
  readonly tiles: TileReader;
  size(): number;
  grow(count: number, what?: string): Promise<void>;
  /** Of its first `size` entries, said at a time. */
  note(size: number, time: number): Promise<string>;
  consistency(from: number, to: number): Promise<string[]>;
  /** Another log with the same keys, whose first `size` entries are the same. */
  fork(size: number): Promise<ToyLog>;
}

export async function toyLog(origin = 'log.example.com', keys: ToyLog['keys'] = { origin, log: generateSigner('ed25519'), time: generateSigner('ed25519') }, before: readonly Buffer[] = []): Promise<ToyLog> {
  const leaves: Buffer[] = [];
  const tiles = new Map<string, Buffer>();
  const reader: TileReader = { tile: async (level, index) => tiles.get(`${level}/${index}`) };
  const append = async (hashes: readonly Buffer[]) => {
    for (const { level, index, hashes: tile } of await appendLeaves(reader, leaves.length, hashes)) tiles.set(`${level}/${index}`, tile);
    leaves.push(...hashes);
  };
  await append(before);
  const verifier = { origin, log: keys.log.publicKey, time: keys.time.publicKey };
  return {
    origin, keys, tiles: reader,
    noteKeys: logNoteKeys(verifier), verifier,
    size: () => leaves.length,
    grow: (count, what = 'entry') => append(Array.from({ length: count }, (_, at) => sha256(`${what} ${leaves.length + at}`))),
    note: async (size, time) => formatCheckpoint(keys, size, await rootAt(reader, size), time),
    consistency: async (from, to) => (from === 0 || from === to ? [] : (await consistencyProof(reader, from, to)).map((hash) => hash.toString('base64'))),
    fork: (size) => toyLog(origin, keys, leaves.slice(0, size)),
  };
}

export interface ToyWitness {
  readonly folder: string;
  readonly key: WitnessKey;
  readonly seen: SeenTrees;
  readonly options: WitnessOptions;
  readonly misbehaved: Misbehaved[];
  add(body: string | Uint8Array): Answer;
  /** Asks for the log's first `size` entries, behind `old`. */
  ask(log: ToyLog, old: number, size: number, time?: number): Promise<Answer>;
}

export async function toyWitness(t: TestContext, logs: readonly ToyLog[], clock: Clock = fixedClock('2026-11-01T00:00:00Z'), at?: string): Promise<ToyWitness> {
  const folder = at ?? (await mkdtemp('/tmp/cairn-w-'));
  const key = await ownKey(folder, at === undefined ? 'witness.example.com' : undefined, () => 'abc');
  const seen = openSeen(join(folder, 'seen.sqlite'), noFaults);
  t.after(async () => {
    seen.close();
    await rm(folder, { recursive: true, force: true });
  });
  const misbehaved: Misbehaved[] = [];
  const known = new Map(logs.map((log) => [log.origin, log.noteKeys.slice(0, 1)]));
  const options: WitnessOptions = { key, logs: known, seen, clock, faults: noFaults, misbehaved: (found) => misbehaved.push(found) };
  const add = (body: string | Uint8Array) => addCheckpoint(options, typeof body === 'string' ? Buffer.from(body) : body);
  return {
    folder, key, seen, options, misbehaved, add,
    ask: async (log, old, size, time = 1000 + size) => add(formatAddCheckpoint(old, await log.consistency(old, size), await log.note(size, time))),
  };
}
