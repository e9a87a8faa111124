import { parsePredicate, parseStatement, payloadOf, subjectDigests, type Request } from '#attest';
import { CairnError, type Digest } from '#core';
import { environmentOf, type Policy } from '#policy';
import { requireSigner, type Authority } from './authority.ts';
import type { SignedStatement } from './ports.ts';

/** A request that a person signed, if its key is of the person that it names and the person may. */
export function readRequest(signed: SignedStatement, action: Request['action'], authority: Authority): { request: Request; release: Digest } {
  const statement = parseStatement(payloadOf(signed.envelope));
  const request = parsePredicate('request', statement);
  const [release] = subjectDigests(statement);
  if (request.action !== action || release === undefined || statement.subject.length !== 1) throw new CairnError('malformed-document', `the statement is no request to ${action} one release`);
  requireSigner(signed, request.by, authority);
  authorize(authority.policy, request.environment, 'promote', request.by);
  return { request, release };
}

export function authorize(policy: Policy, environment: string, action: 'promote' | 'rollback', name: string): void {
  const role = environmentOf(policy, environment)[action];
  if (policy.people.find((one) => one.name === name)?.roles.includes(role) === true) return;
  throw new CairnError('unauthorized', `${name} may not ${action} in ${environment}`, { fix: `Ask someone with the role ${role}: ${mayDo(policy, environment, action).join(', ')}` });
}

export function mayDo(policy: Policy, environment: string, action: 'promote' | 'rollback'): string[] {
  const role = environmentOf(policy, environment)[action];
  return policy.people.filter(({ roles }) => roles.includes(role)).map(({ name }) => name);
}
