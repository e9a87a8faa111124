import { z } from 'zod';
import { CairnError, isDigest, problemsOf, type Digest } from '#core';
import { spki } from './spki.ts';
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
  keyRevocation: `${base}/key-revocation/v1`,
  packageRevocation: `${base}/package-revocation/v1`,
  breakGlass: `${base}/break-glass/v1`,
  settlement: `${base}/settlement/v1`,
  resolution: `${base}/resolution/v1`,
  foreign: `${base}/foreign/v1`,
  findings: `${base}/findings/v1`,
  notes: `${base}/notes/v1`,
  sbom: 'https://cyclonedx.org/bom',
  spdx: 'https://spdx.dev/Document/v2.3',
  scan: 'https://in-toto.io/attestation/vulns/v0.2',
  tests: 'https://in-toto.io/attestation/test-result/v0.1',
  provenance: 'https://slsa.dev/provenance/v1',
  verdict: 'https://slsa.dev/verification_summary/v1',
} as const;

/**
 * A list that is read up to its first wrong thing: whoever writes a hundred thousand of them has us make as many complaints, which takes
 * far longer than to write them.
 */
function list<T extends z.ZodType>(item: T, least = 0) {
  return z.array(z.unknown()).min(least).transform((all, context): z.output<T>[] => {
    const read: z.output<T>[] = [];
    for (const [at, one] of all.entries()) {
      const parsed = item.safeParse(one);
      if (!parsed.success) {
        for (const issue of parsed.error.issues.slice(0, 5)) context.addIssue({ ...issue, path: [at, ...issue.path] } as Parameters<typeof context.addIssue>[0]);
        return z.NEVER;
      }
      read.push(parsed.data);
    }
    return read;
  });
}

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
const ingest = z.strictObject({ entries: list(z.strictObject({ logIndex: count, envelope: digest }), 1) });
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

const nonce = z.string().min(8).max(128);
const seconds = z.int().nonnegative();
const rule = z.strictObject({
  rule: z.string(), passed: z.boolean(), found: z.string(), nearest: z.string().nullable(), fix: z.string().nullable(), blocksRollback: z.boolean(),
  /** Why it did not hold: nothing was there, what was there is not enough, or who should have answered did not (told apart: a throttled call is no absence). */
  cause: z.enum(['absent', 'unmet', 'unreachable', 'throttled']).optional(),
  /** Envelopes that it rests on, or that came nearest. */
  evidence: z.array(digest).optional(),
  /** It did not hold, and a break-glass let the promotion pass it. */
  waived: z.literal(true).optional(),
});
/** All that a decision rests on beside statements: with them and the statements of `evidenceSet` it can be made again, years later. */
const facts = z.strictObject({
  release: digest,
  application: name,
  commit: z.string(),
  source: z.string().nullable(),
  changes: z.string().nullable(),
  components: z.array(digest),
  /** When the log first heard of it. */
  since: seconds.nullable(),
  confirmedIn: list(z.strictObject({ environment: name, time: seconds })),
  quarantined: z.boolean(),
  revoked: z.strictObject({ by: text, reason: text }).nullable(),
  revokedKeys: list(z.strictObject({ key: spki, after: count.nullable(), by: text, reason: text })),
  revokedPackages: list(z.strictObject({ purl: text, by: text, reason: text })),
  /** The newest that no promotion has used; whether it holds is counted from the statements. */
  breakGlass: z.strictObject({ envelope: digest, by: text, reason: text, expires: seconds }).nullable(),
  /** Break-glass statements about the release that an earlier promotion used. */
  spentGlass: z.array(digest).optional(),
  debts: list(z.strictObject({ envelope: digest, release: digest, by: text, reason: text })),
  /** Open ones of the release, by their place in the log. */
  incidents: list(z.strictObject({ logIndex: count, environment: name, code: z.string(), owner: text.nullable() })).optional(),
  witnessed: z.strictObject({ size: count, witnesses: z.array(text) }).nullable(),
  sources: list(z.strictObject({ name: text, state: z.enum(['unreachable', 'throttled']), detail: text })),
  schema: z.strictObject({ version: z.int().nullable(), minimum: z.int(), maximum: z.int() }).nullable(),
});
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
    rules: list(rule),
    /** From 0.3: who asked, what it was decided on, and until when the same would be decided while nothing new is logged. */
    by: text.optional(),
    facts: facts.optional(),
    /** Digest of the canonical JSON of the sorted envelope digests of every statement that was weighed. */
    evidenceSet: digest.optional(),
    validUntil: timestamp.nullable().optional(),
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
/** What the key signed after that entry of the log counts for nothing; null: nothing it ever signed. Subject: SHA-256 of the SPKI. */
const keyRevocation = z.strictObject({ key: spki, after: count.nullable(), by: text, nonce, reason: text });
/** A release whose bill of materials names it is let in nowhere. `purl` with a version means that one; without, every one. Subject: SHA-256 of the purl's text. */
const packageRevocation = z.strictObject({ purl: text, by: text, nonce, reason: text });
/** Past a gate, never past integrity or revocation. Subject: the release. Using it leaves a debt. */
const breakGlass = z.strictObject({ application: name, environment: name, by: text, nonce, reason: text.min(1), expires: timestamp });
/** Settles the debt that a break-glass left: names its envelope. Subject: the release. */
const settlement = z.strictObject({ application: name, environment: name, breakGlass: digest, by: text, nonce, reason: text.min(1) });
/** Takes on or ends an incident, named by its place in the log. Subject: the release. */
const resolution = z.strictObject({ incident: count, action: z.enum(['own', 'resolve']), by: text, nonce, owner: text, resolution: text.nullable() });
/**
 * What other tools signed, as they wrote it: the signature that counts is the one inside. Who brings it vouches for nothing.
 * `bundle`: the text of a Sigstore bundle. `dsse`: the text of an envelope of a legacy cosign attestation. `simplesigning`: payload and signature of a legacy cosign signature, base64; `certificate` PEM where it has one.
 */
const foreign = z.discriminatedUnion('form', [
  z.strictObject({ form: z.literal('bundle'), bundle: z.string() }),
  z.strictObject({ form: z.literal('dsse'), envelope: z.string() }),
  z.strictObject({ form: z.literal('simplesigning'), payload: z.string(), signature: z.string(), certificate: z.string().nullable() }),
]);
/** in-toto/attestation: spec/predicates/vuln.md. */
const scan = z.looseObject({
  scanner: z.looseObject({
    uri: z.string(), version: z.string().optional(),
    result: list(z.looseObject({ id: z.string(), severity: z.array(z.looseObject({ method: z.string(), score: z.union([z.string(), z.number()]) })).default([]) })).default([]),
  }),
  metadata: z.looseObject({ scanStartedOn: z.string().optional(), scanFinishedOn: z.string().optional() }).default({}),
});
/** What a SARIF report came to; the report itself by its digest. */
const findings = z.looseObject({
  tool: z.string(), version: z.string().nullable(), report: digest,
  findings: list(z.looseObject({ rule: z.string(), level: z.enum(['none', 'note', 'warning', 'error']), message: z.string(), location: z.string().nullable() })),
});
/** All that a gate reads of it has its form: what is no text would be compared as something else, or end the decision in a crash. */
const spdx = z.looseObject({
  spdxVersion: z.string(),
  packages: list(z.looseObject({
    name: z.string(), versionInfo: z.string().optional(), licenseConcluded: z.string().optional(), licenseDeclared: z.string().optional(),
    externalRefs: z.array(z.looseObject({ referenceType: z.string(), referenceLocator: z.string() })).optional(),
  })).default([]),
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
const component = z.looseObject({
  name: z.string(), version: z.string().optional(), purl: z.string().optional(),
  licenses: z.array(z.looseObject({ license: z.looseObject({ id: z.string().optional(), name: z.string().optional() }).optional(), expression: z.string().optional() })).optional(),
  get components(): z.ZodOptional<z.ZodArray<typeof component>> {
    return z.array(component).optional();
  },
});
const sbom = z.looseObject({ bomFormat: z.literal('CycloneDX'), components: list(component).default([]) });
/** in-toto/attestation: spec/predicates/test-result.md. */
const tests = z.looseObject({ result: z.enum(['PASSED', 'WARNED', 'FAILED']), 'https://cairn.internal/tests/v1': z.looseObject({ passed: count.nullable(), failed: count.nullable() }).optional() });
const notes = z.looseObject({ since: z.string().nullable(), commits: list(z.looseObject({ commit: z.string(), subject: z.string() })) });

const schemas = {
  policy, trust, request, approval, ingest, intent, outcome, incident, revocation, drill, keyRevocation, packageRevocation, breakGlass, settlement, resolution, foreign,
  findings, sbom, spdx, scan, tests, notes, provenance, verdict,
};

export type PredicateName = keyof typeof schemas;
export type PredicateOf<N extends PredicateName> = z.infer<(typeof schemas)[N]>;
export type Request = PredicateOf<'request'>;
export type Approval = PredicateOf<'approval'>;
export type Ingest = PredicateOf<'ingest'>;
export type Intent = PredicateOf<'intent'>;
export type Outcome = PredicateOf<'outcome'>;
export type Verdict = PredicateOf<'verdict'>;
export type RuleResult = z.infer<typeof rule>;
export type Facts = Readonly<z.infer<typeof facts>>;

/** @throws CairnError `malformed-document` where the type is another or the predicate has not exactly the form of the type. */
export function parsePredicate<N extends PredicateName>(wanted: N, statement: Statement): PredicateOf<N> {
  if (statement.predicateType !== predicateTypes[wanted]) {
    throw new CairnError('malformed-document', `expected the predicate ${predicateTypes[wanted]}, found ${statement.predicateType}`);
  }
  const parsed = schemas[wanted].safeParse(statement.predicate);
  if (!parsed.success) throw new CairnError('malformed-document', `${wanted} predicate: ${problemsOf(parsed.error)}`);
  return parsed.data as PredicateOf<N>;
}
