import { z } from 'zod';
import { errorCodes } from '#core';
import type { Moved, RollbackPlan, Drill } from '#release';
import type { GcAnswer, StatusAnswer } from '#server';

// What each command prints with --json. The published schemas (schemas/cli/) are written from here; nothing reads this at run time.

const digest = z.templateLiteral(['sha256:', z.string().regex(/^[0-9a-f]{64}$/)]).meta({ description: 'sha256: and 64 lower-case hex digits' });
const count = z.int().nonnegative();
const seconds = z.int().nonnegative().meta({ description: 'Seconds since 1970, by the log' });
const hex = z.string().regex(/^[0-9a-f]{64}$/);
const values = z.record(z.string(), z.string());
const versions = z.record(z.string(), count);
const text = z.string();
const rule = z.object({
  rule: text, passed: z.boolean(), found: text, nearest: text.nullable(), fix: text.nullable(), blocksRollback: z.boolean(),
  cause: z.enum(['absent', 'unmet', 'unreachable', 'throttled']).optional(), evidence: z.array(digest).optional(), waived: z.literal(true).optional(),
});
const state = z.enum(['proposed', 'denied', 'admitted', 'preparing', 'failed', 'live', 'confirmed', 'standby', 'retained', 'reverted', 'retired']);
const revision = z.object({
  application: text, environment: text, number: count, state, operation: text, release: digest, content: digest, configuration: values, secrets: versions, confirmed: z.boolean(),
  restores: count.nullable(), by: text, reason: text.nullable(), verdict: digest.nullable(), share: z.int().min(1).max(100),
});
const moved = z.object({
  operation: text, revision, from: digest.nullable(), switchedMs: z.number().nullable(), preparedMs: z.number().nullable(), healthy: count, warm: z.boolean(), confirmSeconds: z.number(),
  debts: z.array(rule), recorded: z.boolean(),
});
moved satisfies z.ZodType<Moved>;

const isolation = z.object({ users: z.boolean(), limits: z.boolean(), reason: text.nullable() });
const commitLine = z.object({ commit: text, subject: text });
const fileState = z.object({ kind: z.enum(['file', 'folder', 'link']), digest: digest.nullable(), size: count, executable: z.boolean() });
const recordChange = z.object({ name: text, from: text.nullable(), to: text.nullable() });
const setChange = z.object({ before: z.array(text), after: z.array(text), added: z.array(text), removed: z.array(text) });
const end = z.object({ application: text, release: digest, commit: text, revision: z.object({ environment: text, number: count }).nullable() });
const layer = z.object({ stage: text, digest, size: count });

const runnerTimeline = z.object({
  application: text, environment: text,
  live: z.object({ content: digest, release: digest, revision: count, share: z.int() }).nullable(),
  former: z.object({ content: digest, release: digest }).nullable(),
  ready: z.array(digest),
  instances: z.array(z.object({ component: text, content: digest, release: digest, pid: z.int(), port: count.nullable(), healthy: z.boolean(), restarts: count })),
  counts: z.record(text, z.object({ requests: count, responses: count, errors: count, inFlight: count })),
});
const place = z.object({
  application: text, environment: text,
  live: z.object({ release: digest, content: digest, revision: count, state: text, share: z.int(), restores: count.nullable(), by: text, since: seconds.nullable() }).nullable(),
  former: z.object({ release: digest, revision: count, share: z.int() }).nullable(),
  wayBack: z.object({ release: digest, content: digest, restores: count, warm: z.boolean() }).nullable(),
  quarantined: z.array(digest),
  debts: z.array(z.object({ rule: text, found: text, fix: text.nullable() })),
  instances: z.object({ healthy: count, all: count, restarts: count }).nullable(),
  counts: z.object({ requests: count, errors: count }).nullable(),
});
const believed = z.array(z.object({ name: text, from: text, until: text.nullable() }));
const trustRoots = z.object({
  from: z.enum(['seed', 'home']), path: text.nullable(), replaced: z.array(digest).meta({ description: 'Of the roots before' }),
  roots: z.array(z.object({ digest, logs: z.array(z.object({ name: text, id: text, from: text, until: text.nullable() })), certificateAuthorities: believed, certificateLogs: believed, timestampAuthorities: believed })),
});
const incident = z.object({ logIndex: count, time: seconds, application: text, environment: text, release: digest, code: text, what: text, owner: text.nullable(), resolution: text.nullable(), resolvedBy: text.nullable() });
const taken = z.array(z.object({ kind: z.enum(['release', 'key', 'package']), what: text, by: text, reason: text, logIndex: count, envelopes: z.array(digest) }))
  .meta({ description: 'What was taken back of it: itself, packages, keys and what they signed' });
const resolution = z.object({ incident: count, action: z.enum(['own', 'resolve']), owner: text, resolution: text.nullable() });
const debt = z.object({
  envelope: digest, time: seconds, application: text, environment: text, release: digest, by: text, reason: text, rules: z.array(text), settledBy: text.nullable(),
});
const statusAnswer = z.object({
  version: text, origin: text, policy: digest, log: z.object({ size: count, checkpoint: digest.nullable() }), environments: z.array(z.object({ name: text, url: text })),
  witnesses: z.array(z.object({ name: text, url: text, vkey: text, size: count.nullable(), state: z.enum(['cosigned', 'waiting', 'unreachable', 'throttled']), detail: text.nullable() })),
  places: z.array(place), incidents: z.array(incident), debts: z.array(debt), runner: z.object({ pid: z.int(), journal: count, isolation }).nullable(),
});
statusAnswer satisfies z.ZodType<StatusAnswer>;

const way = z.object({
  revision: count, release: digest, content: digest, restores: count, configuration: z.object({ digest, values }), secrets: versions,
  preflight: z.object({ ageMs: z.number(), healthy: z.boolean(), problems: z.array(text) }).nullable(),
});
const plan = z.object({ live: revision.nullable(), ways: z.array(way) });
plan satisfies z.ZodType<RollbackPlan>;
const drill = z.object({ passed: z.boolean(), restores: count, content: digest, milliseconds: z.number(), problems: z.array(text) });
drill satisfies z.ZodType<Drill>;
const byRunner = z.object({ sequence: count, from: digest.nullable(), to: digest, milliseconds: z.number(), at: text, release: digest, restores: count });
const gc = z.object({ dryRun: z.boolean(), items: z.array(z.object({ kind: z.enum(['content', 'layer', 'build', 'leftover']), path: text, bytes: count })), bytes: count, kept: count });
gc satisfies z.ZodType<GcAnswer>;

const backupPoint = { created: text, data: z.boolean(), log: z.object({ size: count, root: hex.nullable() }) };

const capsuleVerified = z.object({
  application: text, release: digest, origin: text,
  trust: z.object({ digest, from: z.enum(['given', 'capsule']).meta({ description: 'capsule: its own, which proves nothing about who made it' }) }),
  checkpoint: z.object({ size: count, root: hex, time: seconds }), witnesses: z.array(z.object({ name: text, time: seconds })),
  statements: z.array(z.object({ kind: text, predicateType: text, envelope: digest, logIndex: count, time: seconds, path: text })),
  policies: z.array(z.object({ version: count, digest, from: count })),
  verdicts: z.array(z.object({
    envelope: digest, logIndex: count, environment: text, revision: count, direction: z.enum(['promote', 'rollback']), result: z.enum(['PASSED', 'FAILED']), policy: count,
    decided: z.boolean().meta({ description: 'Made again from the evidence, with the same result; false for a verdict from before verdicts said what they rest on' }),
    weighed: count, later: count, unproven: z.array(text).meta({ description: "What rests on the record key's word alone" }),
  })),
  without: count.meta({ description: 'Layers and other blobs that the release names and the capsule leaves out' }),
});
const capsuleWritten = z.object({
  file: text, bytes: count, files: count, application: text, release: digest, statements: count, verdicts: count, policies: count, checkpoint: z.object({ size: count, root: hex }),
});

const openPlace = z.object({ role: text, people: z.array(text) });
const proposalState = z.enum(['open', 'in-force', 'dead']);
const policySigned = z.object({ digest, version: count, logIndex: count, state: proposalState, signers: z.array(text), open: z.array(openPlace), by: text });

/** By command, its words joined with a dash. `error` is what every command prints where it fails. */
export const outputs = {
  error: z.object({ error: z.object({ code: z.enum(Object.keys(errorCodes) as (keyof typeof errorCodes)[]), message: text, fix: text.nullable(), context: z.record(text, z.unknown()) }) }),
  init: z.object({ home: text, origin: text, policy: digest, trust: digest, person: text, people: z.array(text), found: z.array(text), hints: z.array(text), wrote: z.array(text) }),
  attest: z.object({
    application: text, release: digest,
    statements: z.array(z.object({ kind: text, format: z.enum(['junit', 'sarif', 'osv', 'cyclonedx', 'spdx']), predicateType: text, report: digest, says: text, statement: digest, logIndex: count.nullable() })),
    foreign: z.object({ logged: z.array(count), others: count }).meta({ description: 'Log entries of what others signed, and how many of what was looked at were left alone' }),
  }),
  scan: z.object({
    application: text, release: digest, statement: digest, logIndex: count.nullable(), packages: count, database: z.object({ digest, entries: count, modified: text.nullable() }),
    uncompared: z.array(z.object({ package: text, id: text })), unknown: z.array(text),
    vulnerabilities: z.array(z.object({
      id: text, aliases: z.array(text), package: text, severity: z.enum(['none', 'low', 'medium', 'high', 'critical', 'unknown']), score: z.number().nullable(), fixed: text.nullable(),
    })),
  }),
  'trust-show': trustRoots,
  'trust-root': trustRoots,
  'key-new': z.object({ name: text, path: text, publicKey: text, key: text }),
  'key-list': z.array(z.object({ name: text, path: text, key: text, fingerprint: digest, mine: z.boolean() })),
  'key-rotate': z.object({
    version: count, log: text, retired: z.object({ log: text, size: count, since: text, until: text }).nullable(), followed: z.boolean().describe('The log had the key already; the file was brought up to it'), file: text.nullable(),
  }),
  'ledger-prove': z.object({ index: count, size: count, root: hex, time: seconds, digest, body: text, proof: text.describe('C2SP tlog-proof') }),
  release: z.object({
    release: digest, commit: text, changes: text.nullable(), again: z.boolean(), tests: z.object({ passed: count.nullable(), failed: count.nullable() }).nullable(), isolation: isolation.nullable(),
    statements: z.array(text), logged: z.array(count), queued: count, document: z.record(text, z.unknown()),
  }),
  promote: moved,
  approve: z.object({ release: digest, environment: text, by: text, expires: text, statement: digest, logIndex: count.nullable() }),
  rollback: z.union([moved, byRunner, plan, drill]).meta({ description: 'What was switched; by the runner alone where the server was away; with --list or --plan where it could go; with --drill how the rehearsal went' }),
  resume: z.object({ release: digest, environment: text }),
  traffic: z.object({ release: digest, environment: text, share: z.int() }),
  revoke: z.object({
    revoked: z.array(z.object({ kind: z.enum(['release', 'key', 'package']), what: text })),
    running: z.array(z.object({
      application: text, environment: text, revision: count, release: digest, what: text, back: z.object({ revision: count, release: digest }).nullable(), problem: text.nullable(), fix: text,
    })),
  }),
  'break-glass': z.object({ release: digest, environment: text, by: text, expires: text, statement: digest, people: z.array(text), threshold: count }),
  settle: z.object({ application: text, environment: text, release: digest, breakGlass: digest, by: text, rules: z.array(text) }),
  'incident-list': z.object({ incidents: z.array(incident) }),
  'incident-show': incident,
  'incident-own': resolution,
  'incident-resolve': resolution,
  'config-set': moved,
  'config-list': z.object({ environment: text, configuration: values, defaults: values, digest }),
  'secret-put': z.object({ name: text, environment: text, version: count, moved: moved.nullable() }),
  'secret-list': z.object({ environment: text, latest: versions, live: versions }),
  status: z.discriminatedUnion('server', [
    z.object({ server: z.literal(true), ...statusAnswer.shape }),
    z.object({ server: z.literal(false), runner: z.object({ timelines: z.array(runnerTimeline), sequence: count, pid: z.int(), isolation }) }),
  ]).meta({ description: 'With the server away, what the runner says by itself' }),
  show: z.object({
    application: text, release: digest, document: z.record(text, z.unknown()),
    components: z.array(z.object({ name: text, kind: text, platform: text, image: digest, layers: z.array(layer) })),
    packages: z.array(z.object({ name: text, version: text, purl: text.nullable() })),
    commits: z.array(commitLine),
    revoked: taken,
    statements: z.array(z.object({ kind: text, predicateType: text, says: text, signer: text, logIndex: count, time: seconds, envelope: digest })),
    revisions: z.array(z.object({ environment: text, number: count, state, by: text, reason: text.nullable(), restores: count.nullable() })),
  }),
  trace: z.object({
    application: text, environment: text, revision: z.object({ number: count, state, content: digest, restores: count.nullable() }), release: digest,
    components: z.array(z.object({ name: text, kind: text, pids: z.array(z.int()), image: digest, layers: z.array(layer) })),
    commit: z.object({ commit: text, uri: text.nullable(), subject: text.nullable() }), packages: count, vouched: z.array(z.object({ what: text, who: z.array(text) })), revoked: taken, verdict: digest.nullable(),
    log: z.object({ first: count.nullable(), last: count.nullable(), size: count, root: hex }),
  }),
  diff: z.object({
    from: end, to: end,
    commits: z.object({ added: z.array(commitLine), removed: z.array(commitLine), from: z.enum(['git', 'notes']).nullable() }),
    packages: z.array(z.object({ name: text, from: text.nullable(), to: text.nullable(), distance: z.enum(['major', 'minor', 'patch', 'prerelease', 'other', 'added', 'removed']), back: z.boolean() })),
    toolchain: z.array(recordChange),
    components: z.array(z.object({ name: text, change: z.enum(['added', 'removed', 'changed']), settings: z.array(recordChange) })),
    configuration: z.array(recordChange), secrets: z.array(recordChange),
    files: z.array(z.object({
      path: text, change: z.enum(['added', 'removed', 'changed']), from: fileState.nullable(), to: fileState.nullable(), lines: z.object({ added: count, removed: count }).nullable(), components: z.array(text),
    })),
    evidence: z.object({ kinds: setChange, people: setChange }),
  }),
  verify: z.union([
    z.object({
      application: text, release: digest, statements: z.array(z.object({ predicateType: text, signer: text, logIndex: count, time: seconds, envelope: digest, attached: z.boolean() })), revoked: taken, checkpoint: count, root: hex,
    witnesses: z.array(z.object({ name: text, size: count, time: seconds })),
      strangers: count, manifests: count, blobs: z.object({ count, bytes: count }),
    }),
    capsuleVerified,
  ]).meta({ description: 'Of a release; with --capsule, of a capsule' }),
  audit: z.union([
    z.object({
      origin: text, entries: count, checkpoints: count, root: hex.nullable(), statements: count, verdicts: count, revisions: count, blobs: count, bytes: count, manifests: count, journal: count, milliseconds: count,
      findings: z.array(z.object({ what: text, fix: text, reason: text.optional() })),
    }),
    capsuleWritten,
  ]).meta({ description: 'Of everything; with --capsule, what was written' }),
  logs: z.object({ time: text, stream: text, application: text, environment: text, component: text, release: digest, content: digest, pid: z.int(), line: text }).meta({ description: 'One such document a line' }),
  backup: z.object({ file: text, bytes: count, files: count, kind: z.literal('cairn-backup'), version: z.literal(1), cairn: text, origin: text, home: text, journal: count, ...backupPoint }),
  restore: z.object({ home: text, files: count, created: text, log: z.object({ entries: count, root: hex.nullable() }), data: z.boolean(), unpacked: count }),
  gc,
  'policy-show': z.object({ version: count, digest, logIndex: count, policy: z.record(text, z.unknown()) }),
  'policy-list': z.object({
    versions: z.array(z.object({ version: count, digest, logIndex: count })),
    proposals: z.array(z.object({
      digest, version: count, logIndex: count, state: proposalState, signatures: z.array(z.object({ by: text.nullable(), logIndex: count, complaint: text.nullable() })), open: z.array(openPlace),
    })),
  }),
  'policy-check': z.object({ digest, version: count, compared: z.boolean(), problems: z.array(z.object({ level: z.enum(['error', 'warning']), where: text, text, fix: text })) }),
  'policy-test': z.object({ cases: z.array(z.object({ name: text, ok: z.boolean(), verdict: z.enum(['admitted', 'refused', 'undecided']), problems: z.array(text) })) }),
  'policy-propose': policySigned,
  'policy-sign': policySigned,
  'policy-replay': z.object({
    decisions: count,
    changed: z.array(z.object({
      envelope: digest, logIndex: count, time: seconds, application: text, environment: text, revision: count, release: digest, was: z.enum(['admitted', 'refused']), would: z.enum(['admitted', 'refused', 'undecided']),
      rules: z.array(z.object({ rule: text, was: z.enum(['passed', 'failed']).nullable(), would: z.enum(['passed', 'failed']).nullable(), found: text.nullable() })),
    })),
    lost: z.array(z.object({ envelope: digest, logIndex: count, why: text })), byRule: z.array(z.object({ rule: text, refuses: count, admits: count })), milliseconds: count,
  }),
  'ledger-rebuild': z.object({ counted: count, same: z.boolean() }),
  'ledger-evidence': z.object({
    evidence: z.array(z.object({
      file: text, origin: text, earlier: z.object({ size: count, root: hex }), later: z.object({ size: count, root: hex }),
      misdeeds: z.array(z.object({ signer: text, role: z.enum(['log', 'witness']), vkey: text.nullable(), reason: text, says: text })),
    })),
  }),
  witness: z.object({ name: text, vkey: text, url: text, home: text, logs: z.array(z.object({ origin: text, size: count })) }).meta({ description: 'Printed when it is ready; it then goes on until it is told to stop' }),
  'ledger-export': z.object({ folder: text, size: count, added: count }),
} as const;

export type CommandName = keyof typeof outputs;

/** The published form. What a later version adds is no error to who reads by an older schema. */
export function outputSchema(command: CommandName): object {
  return { title: command === 'error' ? 'What a command prints with --json where it fails' : `cairn ${command === 'break-glass' ? command : command.replace('-', ' ')} --json`, ...z.toJSONSchema(outputs[command], { io: 'input', target: 'draft-2020-12' }) };
}
