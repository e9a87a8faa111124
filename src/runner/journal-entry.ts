import { z } from 'zod';
import { count, digest, name, operation, words } from './words.ts';

const common = {
  /** From 1, without gaps. */
  sequence: z.number().int().positive(),
  /** Digest of the line before without its newline; all zeroes for the first. */
  previous: digest,
  application: name,
  environment: name,
  /** Wall time, RFC 3339. */
  at: z.iso.datetime(),
};

export const journalEntry = z.discriminatedUnion('kind', [
  z.strictObject({
    ...common,
    kind: z.literal('prepared'),
    operation,
    content: digest,
    release: digest,
    healthy: count,
    milliseconds: z.number().nonnegative(),
  }),
  z.strictObject({
    ...common,
    kind: z.literal('switched'),
    operation,
    from: digest.nullable(),
    to: digest,
    release: digest,
    revision: count,
    /** From the request until this entry was ready to be written; the answer to the request counts the write and the swap too. */
    milliseconds: z.number().nonnegative(),
    restores: count.nullable(),
    reason: words,
    by: words,
    /** Percent of new clients; absent: all. */
    share: z.number().int().min(1).max(100).optional(),
    /** The runner did it by itself, to leave this operation's content. */
    automatic: operation.optional(),
    /** Until when it is watched, RFC 3339. */
    watchUntil: z.iso.datetime().optional(),
  }),
  z.strictObject({ ...common, kind: z.literal('weighted'), operation, content: digest, share: z.number().int().min(1).max(100) }),
  /** The tasks of a content were run. */
  z.strictObject({ ...common, kind: z.literal('ran'), operation, content: digest }),
  /** Live content that failed its watch and had nothing to go back to. `operation` is the one that made it live. */
  z.strictObject({ ...common, kind: z.literal('stopped'), operation, content: digest, reason: words }),
  z.strictObject({ ...common, kind: z.literal('retired'), content: digest }),
]);

export type JournalEntry = z.infer<typeof journalEntry>;
export type Switched = Extract<JournalEntry, { kind: 'switched' }>;
export type Weighted = Extract<JournalEntry, { kind: 'weighted' }>;
