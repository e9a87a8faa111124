import type { Digest } from '#core';
import { predicateTypes } from './predicates.ts';
import type { Statement, Subject } from './statement.ts';

export interface TestResultInput {
  readonly subject: readonly Subject[];
  /** Digest of the stages, which hold the command of the tests. */
  readonly stages: Digest;
  /** As the runner's output says; null where it does not. */
  readonly passed: number | null;
  readonly failed: number | null;
}

/** Tests that passed: where they fail there is no release to speak of (in-toto/attestation: spec/predicates/test-result.md). */
export function testResult(input: TestResultInput): Statement {
  return {
    predicateType: predicateTypes.tests,
    subject: input.subject,
    predicate: {
      result: 'PASSED',
      configuration: [{ name: 'cairn.yaml#stages/test', digest: { sha256: input.stages.slice(7) } }],
      'https://cairn.internal/tests/v1': { passed: input.passed, failed: input.failed },
    },
  };
}
