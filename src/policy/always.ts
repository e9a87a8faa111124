import { shortDigest } from '#core';
import type { Judged } from './decide.ts';
import type { Evidence, Question } from './evidence.ts';
import { fail, pass } from './result.ts';

// What no policy can leave out, and no break-glass passes.

export function judgeQuarantine(evidence: Evidence, question: Question): Judged {
  const rule = { blocksRollback: false };
  if (!evidence.quarantined) return pass('not-quarantined', 'not quarantined', rule);
  const fix = `cairn resume ${shortDigest(evidence.release)} ${question.environment}`;
  return fail('not-quarantined', `was rolled back from in ${question.environment}`, rule, { nearest: null, fix, cause: 'unmet' });
}

/** Says something only where there is something to say. */
export function judgeRevocation(evidence: Evidence): Judged[] {
  if (evidence.revoked === null) return [];
  const { by, reason } = evidence.revoked;
  return [fail('not-revoked', `was revoked by ${by}: ${reason}`, { blocksRollback: true }, { nearest: null, fix: 'Release another commit: a revocation is for ever', cause: 'unmet' })];
}

/** Bytes, signatures or proofs were not what the log says: nobody promotes that release before somebody has said how it ended. */
export function judgeIncidents({ incidents = [] }: Evidence): Judged[] {
  return incidents.map(({ logIndex, environment, code, owner }) =>
    fail('no-open-incident', `incident ${logIndex} (${code} in ${environment}) is open`, { blocksRollback: false }, {
      nearest: owner === null ? 'nobody owns it' : `${owner} owns it`, fix: `cairn incident show ${logIndex}; mend it, then: cairn incident resolve ${logIndex} --resolution TEXT`, cause: 'unmet',
    }));
}

/** Who broke the glass before has to account for it first. */
export function judgeDebts({ debts }: Evidence, { environment }: Question): Judged[] {
  return debts.map(({ envelope, release, by, reason }) =>
    fail('no-debt', `${by} broke the glass of ${environment} for ${shortDigest(release)}: ${reason}`, { blocksRollback: false }, {
      nearest: 'it was not settled', fix: `Somebody else settles it: cairn settle ${environment} --reason TEXT`, cause: 'unmet', evidence: [envelope],
    }));
}

export function judgeSchema(evidence: Evidence, question: Question): Judged[] {
  if (evidence.schema === null) return [];
  const { version, minimum, maximum } = evidence.schema;
  const rule = { blocksRollback: true };
  const range = minimum === maximum ? `schema ${minimum}` : `schemas ${minimum} to ${maximum}`;
  if (version === null) return [pass('schema', `runs on ${range}; no data yet`, rule)];
  if (version >= minimum && version <= maximum) return [pass('schema', `the data has schema ${version}; it runs on ${range}`, rule)];
  const fix = version > maximum ? `Promote a release that runs on schema ${version}` : `Migrate the data of ${question.environment} to schema ${minimum} first`;
  return [fail('schema', `the data has schema ${version}; it runs on ${range}`, rule, { nearest: null, fix, cause: 'unmet' })];
}
