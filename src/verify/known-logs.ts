import { logIdOf, readCheckpoint, type Checkpoint, type LogVerifier } from '#log';

interface KnownLog {
  /** base64: what entries name it by, one for each key that it has or had. */
  readonly ids: ReadonlySet<string>;
  /** @throws CairnError as `readCheckpoint` */
  checkpoint(note: string): Checkpoint;
}

const logs = new WeakMap<LogVerifier, KnownLog>();
const most = 256;

/**
 * A log's id and the checkpoints of it that were read before. Hundreds of bundles carry one and the same note, two signatures of
 * which cost more than all the rest of a bundle. Kept by every byte of the note and for this verifier's keys alone; one that was
 * refused is not kept. Bounded: beyond 256 it begins again.
 */
export function knownLog(log: LogVerifier): KnownLog {
  const found = logs.get(log);
  if (found !== undefined) return found;
  const read = new Map<string, Checkpoint>();
  const made: KnownLog = {
    ids: new Set([log.log, ...(log.former ?? []).map((one) => one.log)].map((key) => logIdOf(log.origin, key).toString('base64'))),
    checkpoint: (note) => {
      const known = read.get(note);
      if (known !== undefined) return known;
      const checkpoint = Object.freeze(readCheckpoint(note, log));
      if (read.size >= most) read.clear();
      read.set(note, checkpoint);
      return checkpoint;
    },
  };
  logs.set(log, made);
  return made;
}
