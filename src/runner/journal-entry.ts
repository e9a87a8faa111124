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
  }),
  z.strictObject({ ...common, kind: z.literal('retired'), content: digest }),
]);

export type JournalEntry = z.infer<typeof journalEntry>;
export type Switched = Extract<JournalEntry, { kind: 'switched' }>;
