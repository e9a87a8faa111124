import { z } from 'zod';
import { errorCodes } from '#core';
import { journalEntry } from './journal-entry.ts';
import { count, digest, name, operation, words } from './words.ts';

// What the control server and the runner say to each other: HTTP and JSON over the runner's socket. Both ends check against
// these shapes, since after an upgrade of one they may be of two versions: an unknown field is refused, never ignored.

const timeline = { application: name, environment: name };
const milliseconds = z.number().nonnegative();

const timing = { intervalMs: z.number().int().min(10).max(60_000), threshold: z.number().int().min(1).max(100), deadlineMs: z.number().int().min(10).max(3_600_000) };
const health = z.union([z.strictObject({ path: z.string().startsWith('/').max(2_000), ...timing }), z.strictObject({ tcp: z.literal(true), ...timing })]);
const limits = z.strictObject({ memoryMb: z.number().int().min(32).nullable(), cpus: z.number().min(0.05).nullable() });

const launchComponent = z.strictObject({
  name,
  kind: z.enum(['web', 'worker', 'cron', 'task', 'files']),
  /** Absolute: the composed content. */
  directory: z.string().startsWith('/').max(4_000),
  /** Empty for `files`. */
  command: z.array(z.string()).max(1_000),
  /** May hold secrets: it is kept sealed and never answered or logged. */
  environment: z.record(z.string(), z.string()),
  health: health.nullable(),
  instances: z.number().int().min(0).max(100),
  routes: z.array(z.strictObject({ host: z.string().nullable(), path: z.string().startsWith('/') })),
  /** A cron's, as five fields. */
  schedule: z.string().nullable(),
  /** A worker of which two revisions may run at once. */
  overlap: z.boolean(),
  /** A task's or a cron's run. */
  timeoutMs: z.number().int().positive().nullable(),
  /** Names of persistent folders. */
  data: z.array(name),
  limits: limits.nullable(),
  /** The runtime in the folder, checked at every start. */
  runtime: z.strictObject({ path: z.string(), digest }).nullable(),
});
export const launch = z.strictObject({
  components: z.array(launchComponent).min(1).max(64),
  /** Who says which data schema is there. */
  schema: z.strictObject({ component: name, command: z.array(z.string()).min(1).nullable(), file: z.string().nullable() }).nullable(),
});

/** Content that a timeline can return to: verified, admitted when it was offered, and known to the log by the revision it restores. */
const way = z.strictObject({ content: digest, release: digest, restores: count });

export const prepareRequest = z.strictObject({ operation, ...timeline, content: digest, release: digest, launch, tasks: z.boolean().default(false) });
export const probeRequest = z.strictObject({ ...timeline, content: digest });
export const schemaRequest = z.strictObject({ ...timeline, content: digest, release: digest, launch });
export const retireRequest = z.strictObject({ ...timeline, content: digest });
export const planRequest = z.strictObject({ ...timeline, mayRollBack: z.array(z.string().max(200)).max(1_000), ways: z.array(way).max(100) });
export const switchRequest = z.strictObject({
  operation,
  ...timeline,
  content: digest,
  release: digest,
  revision: count,
  /** What the caller believes to be live; otherwise nothing is switched. */
  expected: digest.nullable(),
  /** Percent of new clients; below 100 the former content serves the others. */
  share: z.number().int().min(1).max(100).default(100),
  /** For a rollback, the revision whose content comes back. */
  restores: count.nullable().default(null),
  reason: words.default(null),
  by: words.default(null),
  /** How long it is watched and reverts by itself; null: not at all. */
  watchMs: z.number().int().positive().nullable().default(null),
});
export const watchRequest = z.strictObject({ operation, ...timeline });
export const trafficRequest = z.strictObject({ operation, ...timeline, content: digest, share: z.number().int().min(1).max(100) });
export const rollbackRequest = z.strictObject({ operation, ...timeline, by: z.string().max(200), reason: words, restores: count.nullable() });

export const prepareAnswer = z.strictObject({
  /** It ran already. */
  warm: z.boolean(),
  healthy: count,
  milliseconds,
});
export const probeAnswer = z.strictObject({ healthy: z.boolean(), milliseconds });
/** The schema that the data has; null where nothing says. */
export const schemaAnswer = z.strictObject({ version: z.number().int().nullable(), milliseconds });
export const switchAnswer = z.strictObject({
  sequence: count,
  from: digest.nullable(),
  to: digest,
  /** From the request until no new request reaches the old side. */
  milliseconds,
  at: z.iso.datetime(),
});
export const watchAnswer = z.strictObject({
  /** `unwatched`: no watch of that operation is known. */
  state: z.enum(['held', 'reverted', 'stopped', 'unwatched']),
  /** Of the journal line that reverted or stopped it. */
  sequence: count.nullable(),
  reason: words,
});
export const trafficAnswer = z.strictObject({ sequence: count, share: count });
export const planAnswer = z.strictObject({});
export const rollbackAnswer = z.strictObject({ ...switchAnswer.shape, release: digest, restores: count });
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
      live: z.strictObject({ content: digest, release: digest, revision: count, share: z.number().int() }).nullable(),
      /** What serves the rest while the live share is below 100. */
      former: z.strictObject({ content: digest, release: digest }).nullable(),
      /** Contents that could be switched to now. */
      ready: z.array(digest),
      /** What runs. */
      instances: z.array(z.strictObject({ component: name, content: digest, release: digest, pid: z.number().int(), port: count.nullable(), healthy: z.boolean(), restarts: count })),
      /** Of the gateway, by content, for what runs. */
      counts: z.record(digest, z.strictObject({ requests: count, responses: count, errors: count, inFlight: count })),
    }),
  ),
  sequence: count,
  pid: z.number().int(),
  /** Whether applications have users of their own and limits; why not. */
  isolation: z.strictObject({ users: z.boolean(), limits: z.boolean(), reason: z.string().nullable() }),
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
export type LaunchComponent = z.infer<typeof launchComponent>;
export type Way = z.infer<typeof way>;
/** As a caller writes them: what has a default may be left out. */
export type PrepareRequest = z.input<typeof prepareRequest>;
export type SwitchRequest = z.input<typeof switchRequest>;
export type ProbeRequest = z.infer<typeof probeRequest>;
export type SchemaRequest = z.infer<typeof schemaRequest>;
export type WatchRequest = z.infer<typeof watchRequest>;
export type TrafficRequest = z.infer<typeof trafficRequest>;
export type PlanRequest = z.infer<typeof planRequest>;
export type RollbackRequest = z.infer<typeof rollbackRequest>;
export type RetireRequest = z.infer<typeof retireRequest>;
export type PrepareAnswer = z.infer<typeof prepareAnswer>;
export type ProbeAnswer = z.infer<typeof probeAnswer>;
export type SchemaAnswer = z.infer<typeof schemaAnswer>;
export type SwitchAnswer = z.infer<typeof switchAnswer>;
export type WatchAnswer = z.infer<typeof watchAnswer>;
export type TrafficAnswer = z.infer<typeof trafficAnswer>;
export type RollbackAnswer = z.infer<typeof rollbackAnswer>;
export type RetireAnswer = z.infer<typeof retireAnswer>;
export type JournalAnswer = z.infer<typeof journalAnswer>;
export type StateAnswer = z.infer<typeof stateAnswer>;
