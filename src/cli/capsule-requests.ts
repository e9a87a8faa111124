import { parsePredicate, subjectDigests } from '#attest';
import { contentHash } from '#release';
import { refused } from './capsule-form.ts';
import type { Held } from './capsule-statements.ts';

/**
 * A verdict must be the answer to the request that it names: the same place, the same release with the same configuration, the same person.
 * And what was begun and how it ended must be of an operation that was let in.
 * @throws CairnError `verification-failed`
 */
export function checkRequests(held: readonly Held[]): void {
  const verdicts = held.filter(({ kind }) => kind === 'verdict').map((one) => ({ ...one, says: parsePredicate('verdict', one.statement) }));
  for (const { statement, logIndex, says } of verdicts) {
    const verdict = says['https://cairn.internal/verdict/v1'];
    const where = `the verdict at log entry ${logIndex}`;
    const asked = held.find((one) => one.kind === 'request' && one.logIndex < logIndex && operationOf(one) === verdict.operation);
    if (asked === undefined) throw refused('request-mismatch', `${where} answers a request that the capsule lacks`);
    const request = parsePredicate('request', asked.statement);
    const [release] = subjectDigests(asked.statement);
    const content = release === undefined ? undefined : contentHash({ release, configuration: request.configuration, secrets: request.secrets });
    const fits = request.application === verdict.application && request.environment === verdict.environment && release === verdict.release && content === verdict.content
      && (verdict.by === undefined || verdict.by === request.by) && (request.action === 'rollback') === (verdict.direction === 'rollback') && subjectDigests(statement).includes(verdict.release);
    if (!fits) throw refused('request-mismatch', `${where} is about something else than the request at log entry ${asked.logIndex} asked for`);
  }
  const admitted = new Set(verdicts.filter(({ says }) => says.verificationResult === 'PASSED').map(({ says }) => says['https://cairn.internal/verdict/v1'].operation));
  for (const { kind, statement, logIndex } of held) {
    if (kind !== 'intent' && kind !== 'outcome') continue;
    const { operation, environment } = parsePredicate(kind, statement);
    if (!admitted.has(operation)) throw refused('request-mismatch', `log entry ${logIndex} moved it in ${environment}, and no verdict let it in`);
  }
}

/** A promotion is named by its request; a rollback by what its caller chose, which the runner's journal names too. */
function operationOf({ statement, envelope }: Held): string {
  const { action, nonce } = parsePredicate('request', statement);
  return action === 'rollback' ? nonce : envelope;
}
