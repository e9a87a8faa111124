import { shortDigest } from '#core';
import type { Judged } from './decide.ts';
import type { Evidence, Question } from './evidence.ts';
import { fail, pass } from './result.ts';

// What no policy can leave out.

export function judgeQuarantine(evidence: Evidence, question: Question): Judged {
  const rule = { blocksRollback: false };
  if (!evidence.quarantined) return pass('not-quarantined', 'not quarantined', rule);
  const fix = `cairn resume ${shortDigest(evidence.release)} ${question.environment}`;
  return fail('not-quarantined', `was rolled back from in ${question.environment}`, rule, { nearest: null, fix });
}

/** Says something only where there is something to say. */
export function judgeRevocation(evidence: Evidence): Judged[] {
  if (evidence.revoked === null) return [];
  const { by, reason } = evidence.revoked;
  return [fail('not-revoked', `was revoked by ${by}: ${reason}`, { blocksRollback: true }, { nearest: null, fix: 'Release another commit: a revocation is for ever' })];
}

export function judgeSchema(evidence: Evidence, question: Question): Judged[] {
  if (evidence.schema === null) return [];
  const { version, minimum, maximum } = evidence.schema;
  const rule = { blocksRollback: true };
  const range = minimum === maximum ? `schema ${minimum}` : `schemas ${minimum} to ${maximum}`;
  if (version === null) return [pass('schema', `runs on ${range}; no data yet`, rule)];
  if (version >= minimum && version <= maximum) return [pass('schema', `the data has schema ${version}; it runs on ${range}`, rule)];
  const fix = version > maximum ? `Promote a release that runs on schema ${version}` : `Migrate the data of ${question.environment} to schema ${minimum} first`;
  return [fail('schema', `the data has schema ${version}; it runs on ${range}`, rule, { nearest: null, fix })];
}
