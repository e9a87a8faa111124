import type { Digest } from '#core';
import type { JournalEntry, Switched } from './journal-entry.ts';
import { timelineKey, type TimelineName } from './words.ts';

export interface TimelineHistory extends TimelineName {
  live: { readonly content: Digest; readonly release: Digest; readonly revision: number } | null;
  /** Prepared and not retired since. */
  readonly prepared: Set<Digest>;
}

/** A caller repeats an operation within seconds or minutes; what is older than this many switches is forgotten. */
const rememberedOperations = 10_000;

/** The journal, folded: what is live, what is prepared, how each operation ended. */
export class History {
  readonly #timelines = new Map<string, TimelineHistory>();
  readonly #outcomes = new Map<string, Switched>();

  apply(entry: JournalEntry): void {
    const timeline = this.#timelineOf(entry);
    switch (entry.kind) {
      case 'prepared':
        timeline.prepared.add(entry.content);
        break;
      case 'switched':
        timeline.live = { content: entry.to, release: entry.release, revision: entry.revision };
        this.remember(entry);
        break;
      case 'retired':
        timeline.prepared.delete(entry.content);
        break;
    }
  }

  timelines(): TimelineHistory[] {
    return [...this.#timelines.values()];
  }

  /** Nothing where the timeline has no entry yet: asking makes none, so that questions cost no memory. */
  timeline(named: TimelineName): Readonly<TimelineHistory> | undefined {
    return this.#timelines.get(timelineKey(named));
  }

  outcome(operation: string): Switched | undefined {
    return this.#outcomes.get(operation);
  }

  remember(outcome: Switched): void {
    this.#outcomes.set(outcome.operation, outcome);
    if (this.#outcomes.size <= rememberedOperations) return;
    for (const oldest of this.#outcomes.keys()) {
      this.#outcomes.delete(oldest);
      break;
    }
  }

  #timelineOf({ application, environment }: TimelineName): TimelineHistory {
    const key = timelineKey({ application, environment });
    let timeline = this.#timelines.get(key);
    if (timeline === undefined) this.#timelines.set(key, (timeline = { application, environment, live: null, prepared: new Set() }));
    return timeline;
  }
}
