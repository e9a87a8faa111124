import { z } from 'zod';
import { bundleLimit, type Statement } from '#attest';
import { malformed, parseStrictJson, problemsOf } from '#core';

const hex = z.string().regex(/^[0-9a-f]{64}$/);
const schema = z.looseObject({
  // cosign's older predicates are in version 0.1; subject and predicate mean the same in both.
  _type: z.enum(['https://in-toto.io/Statement/v1', 'https://in-toto.io/Statement/v0.1']),
  subject: z.array(z.looseObject({ name: z.string().optional(), digest: z.looseObject({ sha256: hex.optional() }) })).min(1).max(4096),
  predicateType: z.string().min(1).max(1024),
  predicate: z.unknown(),
});

/**
 * Reads the in-toto statement of another tool, which is not canonical JSON: names must be unique instead. Subjects without a
 * sha256 digest are left out, since nothing here goes by another.
 * @throws CairnError `malformed-document`: `payload-type`, `statement-malformed` or a reason of `parseStrictJson`
 */
export function parseForeignStatement(payloadType: string, payload: Uint8Array): Statement {
  if (payloadType !== 'application/vnd.in-toto+json') throw malformed('payload-type', `the envelope holds ${payloadType.slice(0, 100)}, not an in-toto statement`);
  const parsed = schema.safeParse(parseStrictJson(payload, 'the statement', bundleLimit));
  if (!parsed.success) throw malformed('statement-malformed', `not an in-toto statement: ${problemsOf(parsed.error)}`);
  const { subject, predicateType, predicate } = parsed.data;
  const subjects = subject.flatMap(({ name = '', digest: { sha256 } }) => (sha256 === undefined ? [] : [{ name, digest: { sha256 } }]));
  if (subjects.length === 0) throw malformed('statement-malformed', 'the statement is about nothing that has a sha256 digest');
  return Object.freeze({ subject: subjects, predicateType, predicate });
}
