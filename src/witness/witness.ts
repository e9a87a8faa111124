import { asCairnError, CairnError, sha256, type Clock, type Faults } from '#core';
import { cosign, isConsistent, isSignedBy, provenBeginning, type LogEvidence } from '#log';
import type { KnownLogs } from './known-logs.ts';
import type { WitnessKey } from './own-key.ts';
import { parseAddCheckpoint, type AddCheckpoint } from './request.ts';
import type { SeenTree, SeenTrees } from './seen.ts';

export interface Answer {
  readonly status: 200 | 400 | 403 | 404 | 409 | 422 | 500;
  readonly type: string;
  readonly body: string;
}

/** Two checkpoints of one log, and of two sizes the proof that they do not go together. */
export interface Misbehaved {
  readonly origin: string;
  readonly before: string;
  readonly now: string;
  readonly proof: LogEvidence['proof'];
}

export interface WitnessOptions {
  readonly key: Pick<WitnessKey, 'name' | 'signer'>;
  readonly logs: KnownLogs;
  readonly seen: SeenTrees;
  readonly clock: Clock;
  readonly faults: Faults;
  /** A known log signed two trees that do not continue each other, and that is shown, not said: anybody may send a good checkpoint with a bad proof. */
  readonly misbehaved: (found: Misbehaved) => void;
}

/**
 * C2SP tlog-witness, add-checkpoint, in the order of the specification. Whoever sends it proves nothing by that: the log's signature on the checkpoint is all that counts.
 * The answer leaves after the new tree is on the disk: a crash between the two costs the log one question, never the witness its word.
 */
export function addCheckpoint({ key, logs, seen, clock, faults, misbehaved }: WitnessOptions, body: Uint8Array): Answer {
  let request: AddCheckpoint;
  try {
    request = parseAddCheckpoint(body);
  } catch (error) {
    return told(400, asCairnError(error).message);
  }
  const { oldSize, head, note, checkpoint } = request;
  const keys = logs.get(head.origin);
  if (keys === undefined) return told(404, 'this log is not witnessed here');
  if (!isSigned(request, keys)) return told(403, 'no key that is known for this log signed the checkpoint');
  if (oldSize > head.size) return told(400, 'the old size is larger than the checkpoint');

  let answer: Answer | undefined;
  let time = 0;
  seen.advance(head.origin, (stored) => {
    answer = refusal(request, stored);
    if (answer !== undefined) {
      const proof = stored === undefined ? undefined : shownBy(request, stored);
      if (stored !== undefined && proof !== undefined) misbehaved({ origin: head.origin, before: stored.checkpoint, now: checkpoint, proof });
      return undefined;
    }
    // A cosignature says "the largest tree by then": were our clock set back, an older time on a larger tree would read as a lie.
    time = Math.max(Math.floor(clock.now().getTime() / 1000), stored?.time ?? 0);
    return { size: head.size, root: head.root, time, checkpoint };
  });
  if (answer !== undefined) return answer;
  faults.point('witness answer');
  return { status: 200, type: 'text/plain; charset=utf-8', body: cosign(key, note.text, time) };
}

/** That the log itself shows two histories: another tree of the size seen before, or its own proof that a larger one began otherwise. */
function shownBy({ head, proof }: AddCheckpoint, { size, root }: SeenTree): Misbehaved['proof'] | undefined {
  if (head.size === size) return head.root.equals(root) ? undefined : null;
  const began = provenBeginning(size, head.size, head.root, proof);
  return began === undefined || began.equals(root) ? undefined : { root: began.toString('base64'), hashes: proof.map((hash) => hash.toString('base64')) };
}

/** What speaks against it beside what is remembered; undefined where nothing does. */
function refusal({ oldSize, head, proof }: AddCheckpoint, stored: SeenTree | undefined): Answer | undefined {
  const known = stored?.size ?? 0;
  const conflict: Answer = { status: 409, type: 'text/x.tlog.size', body: `${known}\n` };
  if (oldSize !== known) return conflict;
  const unproven = told(422, 'the consistency proof does not lead from the tree seen before to this one');
  if (head.size === 0 && !head.root.equals(sha256(''))) return unproven;
  if (stored === undefined || known === 0) return proof.length === 0 ? undefined : unproven;
  if (head.size === known && !head.root.equals(stored.root)) return conflict;
  return isConsistent(known, stored.root, head.size, head.root, proof) ? undefined : unproven;
}

function isSigned({ note }: AddCheckpoint, keys: Parameters<typeof isSignedBy>[1]): boolean {
  try {
    return isSignedBy(note, keys);
  } catch (error) {
    if (error instanceof CairnError && error.code === 'verification-failed') return false;
    throw error;
  }
}

function told(status: Answer['status'], why: string): Answer {
  return { status, type: 'text/plain; charset=utf-8', body: `${why}\n` };
}
