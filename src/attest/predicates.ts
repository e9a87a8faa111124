import { z } from 'zod';
import { CairnError, isDigest, type Digest } from '#core';
import type { Statement } from './statement.ts';

// The predicates that Cairn defines. Their form is pinned by golden vectors and described in docs/design/formats.md.
// `.internal` is reserved for private use, so nobody else can ever own these names.

const base = 'https://cairn.internal';

export const predicateTypes = {
  policy: `${base}/policy/v1`,
  trust: `${base}/trust/v1`,
  request: `${base}/request/v1`,
  approval: `${base}/approval/v1`,
  ingest: `${base}/ingest/v1`,
  intent: `${base}/intent/v1`,
  outcome: `${base}/outcome/v1`,
  incident: `${base}/incident/v1`,
  revocation: `${base}/revocation/v1`,
  drill: `${base}/drill/v1`,
  notes: `${base}/notes/v1`,
  sbom: 'https://cyclonedx.org/bom',
  tests: 'https://in-toto.io/attestation/test-result/v0.1',
  provenance: 'https://slsa.dev/provenance/v1',
  verdict: 'https://slsa.dev/verification_summary/v1',
} as const;

const digest = z.custom<Digest>(isDigest, 'not a sha256 digest');
const name = z.string().regex(/^[a-z0-9][a-z0-9-]{0,62}$/);
const timestamp = z.iso.datetime();
const count = z.int().nonnegative();
const text = z.string().max(4096);

/** Someone asks for a change. `nonce` makes two equal wishes two statements; `head` is the last revision the caller saw. */
const request = z.strictObject({
  action: z.enum(['promote', 'rollback', 'resume', 'traffic']),
  application: name,
  environment: name,
  by: text,
  nonce: z.string().min(8).max(128),
  head: count.nullable(),
  configuration: z.record(z.string(), z.string()),
  secrets: z.record(z.string(), count),
  restores: count.nullable(),
  reason: text.nullable(),
  /** Percent of new clients; absent: all. */
  share: z.int().min(1).max(100).optional(),
});
const approval = z.strictObject({ application: name, environment: name, by: text, expires: timestamp, reason: text.nullable() });
/** What counts: the record key names leaf and envelope. One a transaction, always its last leaf. */
const ingest = z.strictObject({ entries: z.array(z.strictObject({ logIndex: count, envelope: digest })).min(1) });
const place = { operation: z.string(), application: name, environment: name, revision: z.int().positive() };
const intent = z.strictObject({ ...place, content: digest, from: digest.nullable(), restores: count.nullable() });
const outcome = z.strictObject({
  ...place,
  state: z.enum(['live', 'confirmed', 'failed']),
  milliseconds: z.number().nonnegative().nullable(),
  /** Sequence of the runner's journal line that this outcome records. */
  journal: count.nullable(),
  detail: text.nullable(),
});

const rule = z.strictObject({ rule: z.string(), passed: z.boolean(), found: z.string(), nearest: z.string().nullable(), fix: z.string().nullable(), blocksRollback: z.boolean() });
const verdict = z.object({
  resourceUri: z.string(),
  verifier: z.object({ id: z.string() }),
  timeVerified: timestamp,
  policy: z.object({ digest: z.object({ sha256: z.string() }) }),
  verificationResult: z.enum(['PASSED', 'FAILED']),
  verifiedLevels: z.array(z.string()),
  'https://cairn.internal/verdict/v1': z.strictObject({
    operation: z.string(),
    application: name,
    environment: name,
    revision: z.int().positive(),
    direction: z.enum(['promote', 'rollback']),
    release: digest,
    content: digest,
    rules: z.array(rule),
  }),
});
/** An integrity discrepancy: bytes, a signature or a proof were not what the log says. It halted the operation. */
const incident = z.strictObject({ operation: z.string(), application: name, environment: name, code: z.string(), what: text });
/** The release may be let in nowhere from here on, and no rollback goes to it. */
const revocation = z.strictObject({ application: name, by: text, nonce: z.string().min(8).max(128), reason: text });
/** A rollback that was rehearsed up to the switch. */
const drill = z.strictObject({
  application: name, environment: name, by: text, nonce: z.string().min(8).max(128), restores: count, content: digest, passed: z.boolean(),
  milliseconds: z.number().nonnegative(), problems: z.array(text),
});
const policy = z.looseObject({ kind: z.literal('policy') });
const trust = z.looseObject({ kind: z.literal('trust') });
const provenance = z.object({
  buildDefinition: z.object({
    buildType: z.string(),
    externalParameters: z.object({ source: z.object({ uri: z.string(), digest: z.object({ gitCommit: z.string() }) }), changes: z.string().optional() }),
  }),
  runDetails: z.object({ builder: z.object({ id: z.string() }) }),
});

/** CycloneDX, as far as a gate looks at it. */
const sbom = z.looseObject({ bomFormat: z.literal('CycloneDX'), components: z.array(z.looseObject({ name: z.string(), purl: z.string().optional() })).default([]) });
/** in-toto/attestation: spec/predicates/test-result.md. */
const tests = z.looseObject({ result: z.enum(['PASSED', 'WARNED', 'FAILED']), 'https://cairn.internal/tests/v1': z.looseObject({ passed: count.nullable(), failed: count.nullable() }).optional() });
const notes = z.looseObject({ since: z.string().nullable(), commits: z.array(z.looseObject({ commit: z.string(), subject: z.string() })) });

const schemas = { policy, trust, request, approval, ingest, intent, outcome, incident, revocation, drill, sbom, tests, notes, provenance, verdict };

export type PredicateName = keyof typeof schemas;
export type PredicateOf<N extends PredicateName> = z.infer<(typeof schemas)[N]>;
export type Request = PredicateOf<'request'>;
export type Approval = PredicateOf<'approval'>;
export type Ingest = PredicateOf<'ingest'>;
export type Intent = PredicateOf<'intent'>;
export type Outcome = PredicateOf<'outcome'>;
export type Verdict = PredicateOf<'verdict'>;
export type RuleResult = z.infer<typeof rule>;

/** @throws CairnError `malformed-document` where the type is another or the predicate has not exactly the form of the type. */
export function parsePredicate<N extends PredicateName>(wanted: N, statement: Statement): PredicateOf<N> {
  if (statement.predicateType !== predicateTypes[wanted]) {
    throw new CairnError('malformed-document', `expected the predicate ${predicateTypes[wanted]}, found ${statement.predicateType}`);
  }
  const parsed = schemas[wanted].safeParse(statement.predicate);
  if (!parsed.success) throw new CairnError('malformed-document', `${wanted} predicate: ${z.prettifyError(parsed.error)}`);
  return parsed.data as PredicateOf<N>;
}
