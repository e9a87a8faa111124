import { canonicalJson, digestOf, type Digest } from '#core';
import { predicateTypes, type Facts, type RuleResult } from './predicates.ts';
import type { Statement, Subject } from './statement.ts';

export interface SummaryInput {
  readonly origin: string;
  readonly application: string;
  readonly environment: string;
  readonly operation: string;
  readonly revision: number;
  readonly direction: 'promote' | 'rollback';
  readonly release: Digest;
  readonly content: Digest;
  readonly subject: readonly Subject[];
  readonly policy: Digest;
  /** Digests of the envelopes that were weighed. */
  readonly evidence: readonly Digest[];
  readonly passed: boolean;
  readonly rules: readonly RuleResult[];
  readonly time: string;
  readonly version: string;
  /** What makes the decision one that can be made again; verdicts from before 0.3 lack it. */
  readonly basis?: {
    /** Who asked. */
    readonly by: string;
    readonly facts: Facts;
    /** Every statement that was weighed, whether a rule rested on it or not. */
    readonly weighed: readonly Digest[];
    readonly validUntil: string | null;
  };
}

/** One digest for a set of statements: which ones a decision weighed, in no order. */
export function evidenceSetDigest(envelopes: readonly Digest[]): Digest {
  return digestOf(canonicalJson([...new Set(envelopes)].toSorted()));
}

/**
 * A verdict as a SLSA verification summary (spec/v1.1/verification_summary.md). `resourceUri` and `verifier.id` are matched
 * exactly by slsa-verifier, so they are functions of log origin, environment and application alone. The builder is a
 * person's machine, hence build level 1 and no more.
 */
export function verificationSummary(input: SummaryInput): Statement {
  const root = `https://${input.origin}`;
  const { basis } = input;
  return {
    predicateType: predicateTypes.verdict,
    subject: input.subject,
    predicate: {
      verifier: { id: `${root}/verifiers/${input.passed ? `admit-${input.environment}` : 'record'}`, version: { cairn: input.version } },
      timeVerified: input.time,
      resourceUri: `${root}/environments/${input.environment}/${input.application}`,
      policy: { uri: `${root}/policies/${input.policy}`, digest: { sha256: input.policy.slice(7) } },
      inputAttestations: input.evidence.map((digest) => ({ uri: `${root}/envelopes/${digest}`, digest: { sha256: digest.slice(7) } })),
      verificationResult: input.passed ? 'PASSED' : 'FAILED',
      verifiedLevels: input.passed ? ['SLSA_BUILD_LEVEL_1'] : ['FAILED'],
      slsaVersion: '1.1',
      'https://cairn.internal/verdict/v1': {
        operation: input.operation,
        application: input.application,
        environment: input.environment,
        revision: input.revision,
        direction: input.direction,
        release: input.release,
        content: input.content,
        rules: input.rules,
        ...(basis !== undefined && { by: basis.by, facts: basis.facts, evidenceSet: evidenceSetDigest(basis.weighed), validUntil: basis.validUntil }),
      },
    },
  };
}
