import { parsePredicate, predicateTypes, subjectDigests, type Statement } from '#attest';
import { asCairnError, CairnError } from '#core';
import { personOf, PolicyChain, type Policy, type PolicyVersion } from '#policy';
import { trustDigest, type Trust } from '#verify';
import { Governing } from './audit-governance.ts';
import type { AuditedStatement, Finding } from './audit-log.ts';

/**
 * Whether each statement was signed by a key that may say such a thing, by the policy in force at its place in the log, and each verdict
 * decided by that policy.
 */
export function auditSigners(statements: readonly AuditedStatement[], genesis: Trust, trust: Trust, report: (finding: Finding) => void): { policies: readonly PolicyVersion[]; verdicts: number } {
  const chain = new PolicyChain(genesis.policy);
  const governing = new Governing();
  let verdicts = 0;
  for (const entry of statements) {
    const { logIndex, key, statement } = entry;
    try {
      if (statement.predicateType === predicateTypes.policy) {
        // One that counts for nothing may stand in the log: the chain goes on without it.
        const { complaint } = chain.take(entry, governing.revokedKeys);
        requireThat(complaint === undefined, `a signature on a version of the policy ${complaint}`);
        continue;
      }
      const policy = chain.at(logIndex);
      requireAllowed(policy?.policy, trust, statement, key);
      governing.require(entry, policy?.policy);
      if (statement.predicateType !== predicateTypes.verdict) continue;
      verdicts++;
      requirePinned(chain, statement, logIndex);
    } catch (error) {
      const { message, context } = asCairnError(error);
      report({
        what: `log entry ${logIndex}: ${message}`,
        ...(typeof context['reason'] === 'string' && { reason: context['reason'] }),
        fix: 'Ask whose key it is and how it came to sign; the gate does not count it, but whoever wrote it had the server write it: cairn revoke what rests on it',
      });
    }
  }
  return { policies: chain.versions, verdicts };
}

/** @throws CairnError `verification-failed` with reason `stale-policy`: the verdict was decided by a policy that was not in force at its place */
export function requirePinned(chain: PolicyChain, statement: Statement, logIndex: number): void {
  const { policy, 'https://cairn.internal/verdict/v1': verdict } = parsePredicate('verdict', statement);
  chain.requirePinned(`sha256:${policy.digest.sha256}`, logIndex, verdict.direction);
}

/** @throws CairnError `verification-failed`, saying who signed and who may */
function requireAllowed(policy: Policy | undefined, trust: Trust, statement: Statement, key: string): void {
  const person = policy === undefined ? undefined : personOf(policy, key);
  const record = () => requireThat(key === trust.keys.record, 'it is not signed by the record key');
  const named = (by: string) => requireThat(person?.name === by, `it says it is by ${by}, its key is ${person === undefined ? 'unknown to the policy' : `of ${person.name}`}`);
  switch (statement.predicateType) {
    case predicateTypes.trust:
      return requireThat(subjectDigests(statement).includes(trustDigest(trust)) || person !== undefined, 'a trust document that no one of the policy signed');
    case predicateTypes.request: {
      const { action, by, environment } = parsePredicate('request', statement);
      if (action === 'rollback') return record();
      named(by);
      const role = policy?.environments.find(({ name }) => name === environment)?.promote;
      return requireThat(role !== undefined && person?.roles.includes(role) === true, `${by} may not ${action} in ${environment}`);
    }
    case predicateTypes.verdict: {
      const { verificationResult, 'https://cairn.internal/verdict/v1': verdict } = parsePredicate('verdict', statement);
      if (verificationResult === 'FAILED') return record();
      return requireThat(trust.keys.admit[verdict.environment] === key, `a verdict that lets into ${verdict.environment} is not signed by admit-${verdict.environment}`);
    }
    case predicateTypes.intent:
    case predicateTypes.outcome:
    case predicateTypes.incident:
    case predicateTypes.drill:
    case predicateTypes.ingest:
    case predicateTypes.foreign:
      return record();
    case predicateTypes.approval:
      return named(parsePredicate('approval', statement).by);
    default:
      return requireThat(person !== undefined, `a statement of the type ${statement.predicateType} is signed by a key that the policy does not know`);
  }
}

function requireThat(holds: boolean, why: string): void {
  if (!holds) throw refuse(why);
}

function refuse(why: string): CairnError {
  return new CairnError('verification-failed', why);
}
