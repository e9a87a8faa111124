import { parsePredicate, predicateTypes, subjectDigests, type Statement } from '#attest';
import { asCairnError, canonicalJson, CairnError } from '#core';
import { parsePolicy, personOf, policyDigest, type Policy } from '#policy';
import { trustDigest, type Trust } from '#verify';
import { Governing } from './audit-governance.ts';
import type { AuditedStatement, Finding } from './audit-log.ts';

/** Whether each statement was signed by a key that may say such a thing, by the policy in force at its place in the log. */
export function auditSigners(statements: readonly AuditedStatement[], genesis: Trust, trust: Trust, report: (finding: Finding) => void): { policy: Policy | undefined; verdicts: number } {
  let policy: Policy | undefined;
  let verdicts = 0;
  const governing = new Governing();
  for (const entry of statements) {
    const { logIndex, key, statement } = entry;
    try {
      if (statement.predicateType === predicateTypes.policy) policy = nextPolicy(policy, statement, key, genesis);
      else requireAllowed(policy, trust, statement, key);
      governing.require(entry, policy);
      if (statement.predicateType === predicateTypes.verdict) verdicts++;
    } catch (error) {
      report({
        what: `log entry ${logIndex}: ${asCairnError(error).message}`,
        fix: 'Ask whose key it is and how it came to sign; the gate does not count it, but whoever wrote it had the server write it: cairn revoke what rests on it',
      });
    }
  }
  return { policy, verdicts };
}

/** The first is the one that trust names; each later one is signed under the one before it. */
function nextPolicy(before: Policy | undefined, statement: Statement, key: string, genesis: Trust): Policy {
  const policy = parsePolicy(canonicalJson(statement.predicate));
  const digest = policyDigest(policy);
  if (!subjectDigests(statement).includes(digest)) throw refuse('the policy is not the one that the statement is about');
  if (before === undefined) {
    if (digest !== genesis.policy) throw refuse('the first policy is not the one in cairn.trust.json');
    return policy;
  }
  const signer = personOf(before, key);
  const may = signer !== undefined && before.quorum.some(({ role }) => signer.roles.includes(role));
  if (policy.version !== before.version + 1 || !may) throw refuse(`version ${policy.version} of the policy is not signed under version ${before.version}`);
  return policy;
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
