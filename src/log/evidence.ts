import { z } from 'zod';
import { CairnError, malformed, parseCanonicalJson, problemsOf, verificationFailed, type Reason } from '#core';
import { algorithms, parseNote, type Note } from './note.ts';
import { readCheckpoint, type LogVerifier } from './checkpoint.ts';
import { cosignedAt } from './cosignature.ts';
import { isConsistent } from './proof.ts';
import { parseTreeHead, type TreeHead } from './tree-head.ts';
import { formatVkey, noteKey, parseVkey, type NoteKey } from './vkey.ts';

// Two checkpoints of one log that cannot both be true, kept so that a third party who was not there comes to the same answer. The file claims
// nothing: what it proves, and against whom, follows from the signatures in it and is worked out anew by whoever reads it.

const checkpointText = z.string().max(65_536);
const base64 = z.string().regex(/^[A-Za-z0-9+/]{43}=$/);
const form = z.strictObject({
  kind: z.literal('cairn-log-evidence'),
  version: z.literal(1),
  origin: z.string().min(1).max(255),
  /** As they were seen, one after the other. */
  earlier: checkpointText,
  later: checkpointText,
  /** Of two sizes: the root that the larger tree has at the smaller size, and the proof that leads from there to the larger tree's root. */
  proof: z.strictObject({ root: base64, hashes: z.array(base64).max(63) }).nullable(),
  /** Verifier keys of witnesses that cosigned one of them or both. */
  witnesses: z.array(z.string().max(512)).max(32),
});

export type LogEvidence = Readonly<z.infer<typeof form>>;

/** Of one signer: what it signed that cannot both be true. */
export interface Misdeed {
  /** Name of the key: the log's origin, or a witness. */
  readonly signer: string;
  readonly role: 'log' | 'witness';
  /** A witness's verifier key; the log's are in the trust file. */
  readonly vkey: string | null;
  readonly reason: Extract<Reason, 'log-fork' | 'log-rewrite' | 'log-rewind' | 'witness-equivocation' | 'witness-rewind'>;
  readonly says: string;
}

export const mostEvidenceBytes = 256 << 10;

export function makeEvidence(found: Omit<LogEvidence, 'kind' | 'version'>): LogEvidence {
  return Object.freeze({ kind: 'cairn-log-evidence', version: 1, ...found });
}

/** It may come by mail, from whoever wants a log to look bad. @throws CairnError `malformed-document` */
export function parseEvidence(bytes: Uint8Array): LogEvidence {
  const parsed = form.safeParse(parseCanonicalJson(bytes, 'the evidence', mostEvidenceBytes));
  if (!parsed.success) throw malformed('evidence-malformed', `evidence: ${problemsOf(parsed.error)}`);
  return Object.freeze(parsed.data);
}

/** The keys of our own log, as keys of notes: those that it had before have signed for it too. */
export function logNoteKeys(log: LogVerifier): NoteKey[] {
  return [...[log.log, ...(log.former ?? []).map((one) => one.log)].map((key) => noteKey(log.origin, algorithms.ed25519, key)), timeKeyOf(log)];
}

function timeKeyOf(log: LogVerifier): NoteKey {
  return noteKey(`${log.origin}/time`, algorithms.cosignature, log.time);
}

interface Side {
  readonly text: string;
  readonly note: Note;
  readonly head: TreeHead;
}

/**
 * What the evidence proves, by the keys of the log that the reader trusts and nothing else: empty where it proves nothing against anybody. Of a witness it says which key did it; whose key
 * that is, the reader's policy says. @throws CairnError `malformed-document`, `verification-failed`
 */
export function judgeEvidence(evidence: LogEvidence, log: LogVerifier): Misdeed[] {
  if (evidence.origin !== log.origin) throw verificationFailed('checkpoint-origin', `the evidence is about the log ${evidence.origin}, not about ${log.origin}`);
  const read = (text: string): Side => {
    const note = parseNote(text);
    return { text, note, head: parseTreeHead(note.text) };
  };
  const sides: readonly [Side, Side] = [read(evidence.earlier), read(evidence.later)];
  if (sides.some(({ head }) => head.origin !== evidence.origin)) throw malformed('evidence-malformed', 'the evidence holds checkpoints of another log than it says');
  const witnesses = evidence.witnesses.map(parseVkey);
  if (witnesses.some(({ algorithm }) => algorithm !== algorithms.cosignature)) throw malformed('evidence-malformed', 'the evidence names a key that is no key of a witness');
  const conflict = conflictOf(evidence, sides);
  const signers = [
    { role: 'log' as const, signer: evidence.origin, vkey: null, key: timeKeyOf(log), signed: ({ text }: Side) => isByLog(text, log) },
    ...witnesses.map((key) => ({ role: 'witness' as const, signer: key.name, vkey: formatVkey(key), key, signed: ({ note }: Side) => cosignedAt(note, key) !== undefined })),
  ];
  return signers.flatMap(({ key, signed, ...who }) => {
    // Whoever signed one of the two only has done nothing wrong.
    if (!sides.every(signed)) return [];
    const found: Misdeed[] = [];
    if (conflict !== undefined) found.push({ ...who, reason: who.role === 'log' ? conflict.reason : 'witness-equivocation', says: `${who.role === 'log' ? 'signed' : 'cosigned'} ${conflict.says}` });
    const back = rewind(sides, key);
    if (back !== undefined) found.push({ ...who, reason: who.role === 'log' ? 'log-rewind' : 'witness-rewind', says: back });
    return found;
  });
}

/** That the two trees do not continue each other: shown, not said. */
function conflictOf({ proof }: LogEvidence, sides: readonly [Side, Side]): { reason: 'log-fork' | 'log-rewrite'; says: string } | undefined {
  const [small, large] = sides.map(({ head }) => head).toSorted((a, b) => a.size - b.size) as [TreeHead, TreeHead];
  if (small.size === large.size) return small.root.equals(large.root) ? undefined : { reason: 'log-fork', says: `two different trees of ${small.size} entries` };
  if (proof === null) return undefined;
  const root = Buffer.from(proof.root, 'base64');
  const begins = isConsistent(small.size, root, large.size, large.root, proof.hashes.map((hash) => Buffer.from(hash, 'base64')));
  if (!begins || root.equals(small.root)) return undefined;
  return { reason: 'log-rewrite', says: `a tree of ${small.size} entries, and one of ${large.size} whose first ${small.size} are others` };
}

/** A cosignature says what the largest tree was at its time: a smaller one at a later time is a lie in one of them. Within one second nothing follows. */
function rewind([first, second]: readonly [Side, Side], key: NoteKey): string | undefined {
  const [a, b] = [cosignedAt(first.note, key), cosignedAt(second.note, key)];
  if (a === undefined || b === undefined) return undefined;
  const [before, after] = a <= b ? [{ time: a, ...first.head }, { time: b, ...second.head }] : [{ time: b, ...second.head }, { time: a, ...first.head }];
  if (before.time >= after.time || after.size >= before.size) return undefined;
  return `said at ${iso(before.time)} that the log had ${before.size} entries, and at ${iso(after.time)} that it had ${after.size}`;
}

/** Both of its signatures, by the key that was the log's at that size: whoever finds a retired key cannot make the log look bad with it. */
function isByLog(text: string, log: LogVerifier): boolean {
  try {
    readCheckpoint(text, log);
    return true;
  } catch (error) {
    if (error instanceof CairnError && error.code === 'verification-failed') return false;
    throw error;
  }
}

function iso(seconds: number): string {
  const date = new Date(seconds * 1000);
  return Number.isNaN(date.getTime()) ? `second ${seconds}` : date.toISOString().replace('.000Z', 'Z');
}

/** The error that a client refuses a log with. */
export function misdeedError({ reason, signer, says }: Pick<Misdeed, 'reason' | 'signer' | 'says'>, file: string): CairnError {
  return new CairnError('verification-failed', `${signer} ${says}`, {
    context: { reason, evidence: file }, fix: `Believe nothing of it; show others what proves it: cairn ledger evidence ${file}`,
  });
}
