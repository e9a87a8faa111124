import { z } from 'zod';
import { spki } from '#attest';
import { CairnError, canonicalJson, digestOf, isDigest, parseCanonicalJson, problemsOf, type Digest } from '#core';
import { requireFreeze } from './freezes.ts';
import { witnessKeys } from './witnesses.ts';

const name = z.string().regex(/^[a-z0-9][a-z0-9-]{0,62}$/);
/** A role is whatever the policy calls it; `cairn init` begins with builder, developer, security and release. */
const role = name;
const timestamp = z.iso.datetime();

const person = z.strictObject({
  name,
  roles: z.array(role).min(1).max(64),
  /** base64 SPKI of the person's keys. A person with two keys is still one person. */
  keys: z.array(spki).max(64),
  /** By key: from when until when it may sign, by the log's time, both ends included. A key that is not here has no end. */
  validity: z.record(spki, z.strictObject({ from: timestamp.optional(), until: timestamp.optional() })).optional(),
  /** OpenID Connect identities, as a Fulcio certificate carries them: both compared to the letter. */
  identities: z.array(z.strictObject({ issuer: z.url(), subject: z.string().min(1).max(2048) })).min(1).max(64).optional(),
  /** A machine builds and tests; it never counts as one of the people of a threshold. */
  machine: z.literal(true).optional(),
});
const rule = z.discriminatedUnion('kind', [
  /** Provenance over exactly this release, for the commit it names, signed by a person of the role. */
  z.strictObject({ kind: z.literal('provenance'), role, blocksRollback: z.boolean() }),
  /** A bill of materials over every component, signed by a person with a role of a builder. */
  z.strictObject({ kind: z.literal('sbom'), blocksRollback: z.boolean() }),
  /** Tests of the release, all passed, signed by a person of the role. */
  z.strictObject({ kind: z.literal('tests'), role, blocksRollback: z.boolean() }),
  /** It is the commit that was built, not a tree with changes of its own. */
  z.strictObject({ kind: z.literal('clean'), blocksRollback: z.boolean() }),
  /** The release was confirmed in that environment before. */
  z.strictObject({ kind: z.literal('confirmed-in'), environment: name, blocksRollback: z.boolean() }),
  /** The release was confirmed there at least so long ago. */
  z.strictObject({ kind: z.literal('soak'), environment: name, minutes: z.number().nonnegative(), blocksRollback: z.boolean() }),
  /** So many distinct people of the role want it; who asks for the promotion is one. */
  z.strictObject({
    kind: z.literal('approvals'), role, threshold: z.int().positive(), blocksRollback: z.boolean(),
    /** Neither who asks nor who built the release is one of them. */
    independent: z.literal(true).optional(),
  }),
  /** So many distinct builders, machines among them, signed provenance of exactly this release. */
  z.strictObject({ kind: z.literal('rebuilt'), role, threshold: z.int().positive(), blocksRollback: z.boolean() }),
  /** So many distinct witnesses of the policy cosigned a checkpoint that covers every statement that is weighed. */
  z.strictObject({ kind: z.literal('witnessed'), threshold: z.int().positive(), blocksRollback: z.boolean() }),
  /** A CEL expression over typed facts; bounded before it runs. `fix` is what a refusal tells people to do. */
  z.strictObject({ kind: z.literal('cel'), name, expression: z.string().min(1).max(4096), fix: z.string().max(1024).optional(), blocksRollback: z.boolean() }),
]);
/** A time in which nothing is promoted; rollbacks go through. RFC 5545: `rule` is an RRULE from `start` (local, in `zone`) on. */
const freeze = z.strictObject({ name, start: z.string().regex(/^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2})?$/), minutes: z.int().positive().max(527_040), rule: z.string().max(512).optional(), zone: z.string().max(64), reason: z.string().max(1024).optional() });
const environment = z.strictObject({
  name, promote: role, rollback: role, rules: z.array(rule).min(1).max(64),
  freezes: z.array(freeze).min(1).max(64).optional(),
  /** Who may break the glass here, how many people it takes, and the longest that it may last. Absent: nobody. */
  breakGlass: z.strictObject({ role, threshold: z.int().positive(), hours: z.number().positive().max(168) }).optional(),
});
const witness = z.strictObject({ name: z.string().regex(/^[^\s+]{1,255}$/), key: z.string(), url: z.url() });
export const policySchema = z.strictObject({
  kind: z.literal('policy'),
  version: z.int().positive(),
  people: z.array(person).min(1).max(1000),
  environments: z.array(environment).min(1).max(64),
  /** How many distinct people of each role must sign the next version. Nobody fills two places. */
  quorum: z.array(z.strictObject({ role, threshold: z.int().positive() })).min(1).max(64),
  /** Digest of the version before; in every version but the first. */
  previous: z.custom<Digest>(isDigest).optional(),
  /** Roles that may revoke; absent: security and release. */
  revoke: z.array(role).min(1).max(64).optional(),
  /** Witnesses of the log, by C2SP verifier key (`name+hex+base64`). As many as every reader of notes must take, beside the log's own signatures. */
  witnesses: z.array(witness).min(1).max(16).optional(),
});

export type Policy = Readonly<z.infer<typeof policySchema>>;
export type Person = Policy['people'][number];
export type Environment = Policy['environments'][number];
export type Freeze = z.infer<typeof freeze>;
export type Witness = z.infer<typeof witness>;
export type Rule = z.infer<typeof rule>;

/** @throws CairnError `malformed-document`: not canonical, unknown keys, two people of one name, a key that two people share. */
export function parsePolicy(bytes: Uint8Array): Policy {
  const parsed = policySchema.safeParse(parseCanonicalJson(bytes, 'the policy', 1 << 20));
  if (!parsed.success) throw new CairnError('malformed-document', `policy: ${problemsOf(parsed.error)}`);
  const policy = parsed.data;
  requireDistinct('two people are called', policy.people.map((one) => one.name));
  // One key for two people would let one person count twice.
  requireDistinct('two people share the key', policy.people.flatMap((one) => one.keys));
  requireDistinct('two people share the identity', policy.people.flatMap((one) => one.identities ?? []).map(({ issuer, subject }) => `${issuer} ${subject}`));
  requireDistinct('two witnesses are called', (policy.witnesses ?? []).map((one) => one.name));
  requireDistinct('two witnesses have the key', witnessKeys(policy.witnesses ?? []));
  requireDistinct('two environments are called', policy.environments.map((one) => one.name));
  for (const { freezes = [] } of policy.environments) for (const one of freezes) requireFreeze(one);
  const idle = policy.people.find((one) => one.keys.length === 0 && one.identities === undefined);
  if (idle !== undefined) throw new CairnError('malformed-document', `policy: ${idle.name} has neither a key nor an identity`);
  if ((policy.previous !== undefined) !== policy.version > 1) throw new CairnError('malformed-document', 'policy: every version but the first names the one before it, by `previous`');
  return Object.freeze(policy);
}

export function policyDigest(policy: Policy): Digest {
  return digestOf(canonicalJson(policy));
}

/** The person who holds the key (base64 SPKI), or undefined. */
export function personOf(policy: Policy, spki: string): Person | undefined {
  return policy.people.find((one) => one.keys.includes(spki));
}

export function environmentOf(policy: Policy, wanted: string): Policy['environments'][number] {
  const found = policy.environments.find((one) => one.name === wanted);
  if (found !== undefined) return found;
  throw new CairnError('unknown-environment', `the policy has no environment "${wanted}"`, {
    fix: `Use one of: ${policy.environments.map((one) => one.name).join(', ')}`,
  });
}

function requireDistinct(complaint: string, values: readonly string[]): void {
  const twice = values.find((value, at) => values.indexOf(value) !== at);
  if (twice !== undefined) throw new CairnError('malformed-document', `policy: ${complaint} ${twice.slice(0, 80)}`);
}
