import { z } from 'zod';
import { CairnError, canonicalJson, digestOf, parseCanonicalJson, type Digest } from '#core';

const name = z.string().regex(/^[a-z0-9][a-z0-9-]{0,62}$/);
const role = z.enum(['builder', 'developer', 'security', 'release']);

const person = z.strictObject({
  name,
  roles: z.array(role).min(1),
  /** base64 SPKI of the person's keys. A person with two keys is still one person. */
  keys: z.array(z.string().regex(/^[A-Za-z0-9+/]+={0,2}$/)).min(1),
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
  z.strictObject({ kind: z.literal('approvals'), role, threshold: z.int().positive(), blocksRollback: z.boolean() }),
]);
const environment = z.strictObject({ name, promote: role, rollback: role, rules: z.array(rule).min(1) });
const schema = z.strictObject({
  kind: z.literal('policy'),
  version: z.int().positive(),
  people: z.array(person).min(1),
  environments: z.array(environment).min(1),
  /** How many distinct people of each role must sign the next version. */
  quorum: z.array(z.strictObject({ role, threshold: z.int().positive() })).min(1),
});

export type Policy = Readonly<z.infer<typeof schema>>;
export type Person = Policy['people'][number];
export type Rule = z.infer<typeof rule>;

/** @throws CairnError `malformed-document`: not canonical, unknown keys, two people of one name, a key that two people share. */
export function parsePolicy(bytes: Uint8Array): Policy {
  const parsed = schema.safeParse(parseCanonicalJson(bytes, 'the policy', 1 << 20));
  if (!parsed.success) throw new CairnError('malformed-document', `policy: ${z.prettifyError(parsed.error)}`);
  const policy = parsed.data;
  requireDistinct('two people are called', policy.people.map((one) => one.name));
  // One key for two people would let one person count twice.
  requireDistinct('two people share the key', policy.people.flatMap((one) => one.keys));
  requireDistinct('two environments are called', policy.environments.map((one) => one.name));
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
