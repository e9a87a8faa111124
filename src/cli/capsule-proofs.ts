import { z } from 'zod';
import { consistencyProof, inclusionProof, inclusionRoot, isConsistent, leafHash, readCheckpoint, type Checkpoint, type LogVerifier, type TileReader } from '#log';
import type { Bundle } from '#attest';
import { capsulePaths, damaged, proofPath, refused, type CapsuleFiles } from './capsule-form.ts';

// All of a capsule is proven against one checkpoint, its newest: every statement is in it, and every checkpoint that a bundle was made
// against is the beginning of it. So one look at one checkpoint, by whoever saw the log at another time, covers the whole capsule.

const form = 'c2sp.org/tlog-proof@v1';
const hash = z.string().regex(/^[A-Za-z0-9+/]{43}=$/);
const steps = z.array(z.strictObject({ size: z.int().positive(), hashes: z.array(hash).max(64) })).max(20_000);

/** C2SP tlog-proof: the index, the hashes from the leaf's neighbour up, and the checkpoint as it was signed. */
function formatTlogProof(index: number, hashes: readonly Uint8Array[], note: string): string {
  return `${form}\nindex ${index}\n${hashes.map((one) => `${Buffer.from(one).toString('base64')}\n`).join('')}\n${note}`;
}

/** @throws CairnError `capsule-damaged` */
function parseTlogProof(text: string, path: string): { index: number; hashes: Buffer[]; note: string } {
  const end = text.indexOf('\n\n');
  const [first, second = '', ...hashes] = text.slice(0, Math.max(end, 0)).split('\n');
  const index = /^index (0|[1-9][0-9]{0,15})$/.exec(second)?.[1];
  if (end < 0 || first !== form || index === undefined || hashes.length > 64 || !hashes.every((one) => hash.safeParse(one).success)) throw damaged(`${path} is no proof`);
  return { index: Number(index), hashes: hashes.map((one) => Buffer.from(one, 'base64')), note: text.slice(end + 2) };
}

/** The proofs of statements and of the checkpoints of their bundles, against `newest`. */
export async function proofFiles(tiles: TileReader, newest: Checkpoint, entries: readonly { logIndex: number; checkpointSize: number }[]): Promise<Map<string, Buffer>> {
  const files = new Map<string, Buffer>([[capsulePaths.checkpoint, Buffer.from(newest.note)]]);
  for (const { logIndex } of entries) files.set(proofPath(logIndex), Buffer.from(formatTlogProof(logIndex, await inclusionProof(tiles, logIndex, newest.size), newest.note)));
  const sizes = [...new Set(entries.map(({ checkpointSize }) => checkpointSize))].filter((size) => size < newest.size).toSorted((a, b) => a - b);
  const proofs = await Promise.all(sizes.map(async (size) => ({ size, hashes: (await consistencyProof(tiles, size, newest.size)).map((one) => one.toString('base64')) })));
  return files.set(capsulePaths.consistency, Buffer.from(`${JSON.stringify(proofs, null, 1)}\n`));
}

/** @throws CairnError `verification-failed`, `capsule-damaged` */
export function checkProofs(files: CapsuleFiles, log: LogVerifier, bundles: readonly { logIndex: number; bundle: Bundle }[]): Checkpoint {
  const note = files.get(capsulePaths.checkpoint)?.toString('utf8');
  const listed = files.get(capsulePaths.consistency);
  if (note === undefined || listed === undefined) throw damaged('it has no checkpoint, or no proofs');
  const newest = readCheckpoint(note, log);
  for (const one of bundles) checkInclusion(files, newest, one);
  const proofs = readSteps(listed);
  // Two checkpoints of one size are two histories, if their roots differ.
  const checked = new Set<string>();
  for (const { bundle, logIndex } of bundles) {
    const { envelope } = bundle.verificationMaterial.tlogEntries[0].inclusionProof.checkpoint;
    if (checked.has(envelope)) continue;
    checked.add(envelope);
    const older = readCheckpoint(envelope, log);
    const hashes = older.size === newest.size ? [] : proofs.get(older.size);
    if (hashes === undefined || !isConsistent(older.size, older.root, newest.size, newest.root, hashes)) {
      throw refused('log-fork', `the checkpoint of ${older.size} entries, which entry ${logIndex} is proven by, is not the beginning of the one of ${newest.size}`);
    }
  }
  return newest;
}

function checkInclusion(files: CapsuleFiles, newest: Checkpoint, { logIndex, bundle }: { logIndex: number; bundle: Bundle }): void {
  const path = proofPath(logIndex);
  const text = files.get(path);
  if (text === undefined) throw damaged(`${path} is missing`);
  const proof = parseTlogProof(text.toString('utf8'), path);
  if (proof.index !== logIndex || proof.note !== newest.note) throw refused('proof-invalid', `${path} is about another entry or another checkpoint`);
  const body = Buffer.from(bundle.verificationMaterial.tlogEntries[0].canonicalizedBody, 'base64');
  if (inclusionRoot(leafHash(body), logIndex, newest.size, proof.hashes)?.equals(newest.root) !== true) throw refused('proof-invalid', `${path} does not lead from entry ${logIndex} to the checkpoint of ${newest.size} entries`);
}

function readSteps(bytes: Buffer): Map<number, Buffer[]> {
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString('utf8'));
  } catch (cause) {
    throw damaged(`${capsulePaths.consistency} is not JSON`, cause);
  }
  const parsed = steps.safeParse(value);
  if (!parsed.success) throw damaged(`${capsulePaths.consistency} holds no proofs`);
  return new Map(parsed.data.map(({ size, hashes }) => [size, hashes.map((one) => Buffer.from(one, 'base64'))]));
}
