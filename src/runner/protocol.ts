import { z } from 'zod';
import { errorCodes } from '#core';
import { journalEntry } from './journal-entry.ts';
import { count, digest, name, operation, words } from './words.ts';

// What the control server and the runner say to each other: HTTP and JSON over the runner's socket. Both ends check against
// these shapes, since after an upgrade of one they may be of two versions: an unknown field is refused, never ignored.

const timeline = { application: name, environment: name };
const milliseconds = z.number().nonnegative();

const health = z.strictObject({
  path: z.string().startsWith('/').max(2_000),
  intervalMs: z.number().int().min(10).max(60_000),
  threshold: z.number().int().min(1).max(100),
  deadlineMs: z.number().int().min(10).max(3_600_000),
});

export const launch = z.strictObject({
  /** Absolute: the composed content. */
  directory: z.string().startsWith('/').max(4_000),
  command: z.array(z.string()).min(1).max(1_000),
  /** May hold secrets: it is kept in a 0600 file and never answered or logged. */
  environment: z.record(z.string(), z.string()),
  health,
  instances: z.number().int().min(1).max(100),
});

export const prepareRequest = z.strictObject({ operation, ...timeline, content: digest, release: digest, launch });
export const probeRequest = z.strictObject({ ...timeline, content: digest });
export const retireRequest = z.strictObject({ ...timeline, content: digest });
export const switchRequest = z.strictObject({
  operation,
  ...timeline,
  content: digest,
  release: digest,
  revision: count,
  /** What the caller believes to be live; otherwise nothing is switched. */
  expected: digest.nullable(),
  /** For a rollback, the revision whose content comes back. */
  restores: count.nullable().default(null),
  reason: words.default(null),
  by: words.default(null),
});

export const prepareAnswer = z.strictObject({
  /** It ran already. */
  warm: z.boolean(),
  healthy: count,
  milliseconds,
});
export const probeAnswer = z.strictObject({ healthy: z.boolean(), milliseconds });
export const switchAnswer = z.strictObject({
  sequence: count,
  from: digest.nullable(),
  to: digest,
  /** From the request until no new request reaches the old side. */
  milliseconds,
  at: z.iso.datetime(),
});
export const retireAnswer = z.strictObject({
  /** False where it was not there. */
  retired: z.boolean(),
  /** Requests cut off at the drain deadline. */
  inFlight: count,
  milliseconds,
});
export const journalAnswer = z.strictObject({ entries: z.array(journalEntry), sequence: count });
export const stateAnswer = z.strictObject({
  timelines: z.array(
    z.strictObject({
      ...timeline,
      live: z.strictObject({ content: digest, release: digest, revision: count }).nullable(),
      /** Contents that could be switched to now. */
      ready: z.array(digest),
      /** Of the gateway, by content, for what runs. */
      counts: z.record(digest, z.strictObject({ requests: count, responses: count, errors: count, inFlight: count })),
    }),
  ),
  sequence: count,
  pid: z.number().int(),
});

export const errorAnswer = z.strictObject({
  error: z.strictObject({
    code: z.enum(Object.keys(errorCodes) as (keyof typeof errorCodes)[]),
    message: z.string(),
    fix: z.string().nullable(),
    context: z.record(z.string(), z.unknown()),
  }),
});

export type Launch = z.infer<typeof launch>;
export type PrepareRequest = z.infer<typeof prepareRequest>;
export type PrepareAnswer = z.infer<typeof prepareAnswer>;
export type ProbeRequest = z.infer<typeof probeRequest>;
export type ProbeAnswer = z.infer<typeof probeAnswer>;
/** As a caller writes it: what has a default may be left out. */
export type SwitchRequest = z.input<typeof switchRequest>;
export type SwitchAnswer = z.infer<typeof switchAnswer>;
export type RetireRequest = z.infer<typeof retireRequest>;
export type RetireAnswer = z.infer<typeof retireAnswer>;
export type JournalAnswer = z.infer<typeof journalAnswer>;
export type StateAnswer = z.infer<typeof stateAnswer>;
