import { z } from 'zod';
import { isDigest, type Digest } from '#core';

// The parts of requests and journal entries. Names become file names: no separator and no dot in front can be in them.

export const digest = z.custom<Digest>(isDigest, 'not a sha256 digest');
export const name = z.string().regex(/^[a-z0-9]+(?:[._-][a-z0-9]+)*$/, 'not a name: lower-case letters, digits, and . _ - between').max(63);
export const operation = z.string().min(1).max(200);
/** A person's words, or nothing. */
export const words = z.string().max(2_000).nullable();
export const count = z.number().int().nonnegative();

/** One application in one environment: what is live there is one content at a time. */
export interface TimelineName {
  readonly application: string;
  readonly environment: string;
}

export interface ContentName extends TimelineName {
  readonly content: Digest;
}

export function timelineKey({ application, environment }: TimelineName): string {
  return `${application}/${environment}`;
}

export function contentKey(named: ContentName): string {
  return `${timelineKey(named)}/${named.content}`;
}
