import { makeStatement, predicateTypes, signEnvelope, subjectOf, verificationSummary, type Intent, type Outcome, type Request, type Statement } from '#attest';
import type { Digest } from '#core';
import { policyDigest, type Decision, type Evidence, type Policy } from '#policy';
import { spkiOf, type Signer } from '#sign';
import type { ReleaseDocument } from './document.ts';
import type { SignedStatement } from './ports.ts';

/** What the control server signs with: one key for what is recorded, one an environment for what is let in. */
export interface ServerSigners {
  readonly record: Signer;
  admit(environment: string): Signer;
}

export interface Asked {
  readonly operation: string;
  readonly application: string;
  readonly environment: string;
  readonly revision: number;
  readonly release: Digest;
  readonly content: Digest;
}

export function sign(statement: Statement, signer: Signer): SignedStatement {
  return { envelope: signEnvelope(makeStatement(statement), signer), key: spkiOf(signer.publicKey).toString('base64') };
}

export function requestStatement(release: Digest, application: string, request: Request): Statement {
  return { predicateType: predicateTypes.request, subject: [subjectOf(application, release)], predicate: request };
}

/** PASSED is signed by the environment's admit key and nothing else is, so that its signature alone means "was admitted". */
export function verdictStatement(options: {
  asked: Asked & { by: string }; direction: 'promote' | 'rollback'; decision: Decision; evidence: Evidence; policy: Policy; document: ReleaseDocument;
  origin: string; version: string; time: number; signers: ServerSigners;
}): SignedStatement {
  const { asked, direction, decision, evidence, policy, document, origin, version, time, signers } = options;
  const { statements, ...facts } = evidence;
  const components = document.components.flatMap((one) => [subjectOf(one.name, one.digest), ...one.platforms.filter(({ digest }) => digest !== one.digest).map(({ digest }) => subjectOf(one.name, digest))]);
  const summary = verificationSummary({
    ...asked, origin, direction, version,
    subject: [subjectOf(asked.application, asked.release), ...components],
    policy: policyDigest(policy),
    evidence: decision.evidence,
    passed: decision.passed,
    rules: decision.rules,
    time: atSecond(time),
    basis: { by: asked.by, facts, weighed: statements.map(({ envelope }) => envelope), validUntil: decision.validUntil === null ? null : atSecond(decision.validUntil) },
  });
  return sign(summary, decision.passed ? signers.admit(asked.environment) : signers.record);
}

function atSecond(time: number): string {
  return `${new Date(time * 1000).toISOString().slice(0, 19)}Z`;
}

export function intentStatement(asked: Asked, change: Pick<Intent, 'from' | 'restores'>, signers: ServerSigners): SignedStatement {
  const { operation, application, environment, revision, content } = asked;
  const predicate: Intent = { operation, application, environment, revision, content, ...change };
  return sign({ predicateType: predicateTypes.intent, subject: [subjectOf(application, asked.release)], predicate }, signers.record);
}

export function outcomeStatement(asked: Asked, result: Pick<Outcome, 'state' | 'milliseconds' | 'journal' | 'detail'>, signers: ServerSigners): SignedStatement {
  const { operation, application, environment, revision } = asked;
  const predicate: Outcome = { operation, application, environment, revision, ...result };
  return sign({ predicateType: predicateTypes.outcome, subject: [subjectOf(application, asked.release)], predicate }, signers.record);
}
