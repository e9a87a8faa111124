import { CairnError, type Digest } from '#core';
import type { Revision, Timeline } from './ports.ts';

/**
 * Where a rollback goes: let S be the revision that the live one restores, else the live one; the target is the newest
 * revision before S that was ever confirmed, runs other content and is not quarantined here. Counting from S is what keeps a
 * second rollback from toggling back to what the first one left.
 * @throws CairnError `nothing-to-return-to`
 */
export function returnTarget(timeline: Timeline): { live: Revision; target: Revision } {
  const { live } = timeline;
  if (live === undefined) {
    throw new CairnError('nothing-to-return-to', `nothing runs in ${timeline.environment}`, { fix: `cairn promote DIGEST ${timeline.environment}` });
  }
  const before = live.restores ?? live.number;
  const target = timeline.revisions
    .filter((one) => one.number < before && one.confirmed && one.content !== live.content && !isQuarantined(timeline, one))
    .toSorted((a, b) => b.number - a.number)[0];
  if (target === undefined) {
    throw new CairnError('nothing-to-return-to', `${timeline.application} has no earlier confirmed revision in ${timeline.environment}`, {
      fix: `cairn status shows what runs; cairn promote DIGEST ${timeline.environment} moves forward`,
    });
  }
  return { live, target };
}

/** The same, for who only looks: undefined where there is nothing to return to. */
export function wayBack(timeline: Timeline): ReturnType<typeof returnTarget> | undefined {
  try {
    return returnTarget(timeline);
  } catch (error) {
    if (error instanceof CairnError && error.code === 'nothing-to-return-to') return undefined;
    throw error;
  }
}

export function isQuarantined(timeline: Timeline, one: { release: Digest; content: Digest }): boolean {
  return timeline.quarantined.includes(one.release) || timeline.quarantined.includes(one.content);
}
