import { z } from 'zod';
import { CairnError, canonicalJson, isDigest, parseCanonicalJson, problemsOf, type Digest } from '#core';

export const statementType = 'https://in-toto.io/Statement/v1';

/** in-toto/attestation: spec/v1/resource_descriptor.md. Digests are hex without prefix. */
export interface Subject {
  readonly name: string;
  readonly digest: { readonly sha256: string };
}

export interface Statement {
  readonly predicateType: string;
  readonly subject: readonly Subject[];
  readonly predicate: unknown;
}

const schema = z.object({
  _type: z.literal(statementType),
  subject: z.array(z.object({ name: z.string(), digest: z.object({ sha256: z.string().regex(/^[0-9a-f]{64}$/) }) })).min(1).max(4096),
  predicateType: z.string().min(1).max(1024),
  predicate: z.unknown(),
});

/** The canonical payload bytes of a statement. */
export function makeStatement(statement: Statement): Buffer {
  return canonicalJson({ _type: statementType, ...statement });
}

/** In bytes. The log's API takes less; what came another way is not read past it. */
const largestStatement = 64 << 20;

/**
 * Reads a statement that Cairn or its people wrote: the payload must be canonical JSON, so that no two readers of one signed
 * text can see two different statements (an attacker's duplicate key, for example).
 */
export function parseStatement(payload: Uint8Array): Statement {
  const value = parseCanonicalJson(payload, 'the statement', largestStatement);
  const parsed = schema.safeParse(value);
  if (!parsed.success) throw new CairnError('malformed-document', `not an in-toto statement: ${problemsOf(parsed.error)}`);
  const { subject, predicateType, predicate } = parsed.data;
  return Object.freeze({ subject, predicateType, predicate });
}

export function subjectOf(name: string, digest: Digest): Subject {
  return { name, digest: { sha256: digest.slice(7) } };
}

export function subjectDigests(statement: Statement): Digest[] {
  return statement.subject.map((subject) => `sha256:${subject.digest.sha256}`).filter(isDigest);
}
