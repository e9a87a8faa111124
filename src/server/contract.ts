import type { Bundle } from '#attest';
import type { Digest } from '#core';
import type { Moved, Timeline } from '#release';

// The API's contract, read by both of its ends.

export interface Info {
  readonly version: string;
  readonly origin: string;
  readonly environments: readonly { readonly name: string; readonly url: string }[];
  readonly policy: Digest;
  readonly checkpoint: { readonly size: number; readonly note: string };
}

export interface StatementAnswer {
  readonly digest: Digest;
  readonly logIndex: number;
  readonly bundle: Bundle;
}

/** Inclusion of one entry in the newest checkpoint that is shown: bytes in base64. */
export interface ProofAnswer {
  readonly index: number;
  readonly body: string;
  readonly hashes: readonly string[];
  readonly note: string;
}

export type MovedAnswer = Moved;
export type TimelineAnswer = Timeline;

export interface ErrorAnswer {
  readonly error: { readonly code: string; readonly message: string; readonly fix: string | null; readonly context: Readonly<Record<string, unknown>>; readonly retryable: boolean };
}
