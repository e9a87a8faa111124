import type { Digest } from '#core';
import type { JournalEntry, Switched, Weighted } from './journal-entry.ts';
import { timelineKey, type TimelineName } from './words.ts';

interface Side {
  readonly content: Digest;
  readonly release: Digest;
}

export interface Live extends Side {
  readonly revision: number;
  /** Percent of new clients; below 100 the former side has the others. */
  readonly share: number;
  /** What made it live. */
  readonly operation: string;
  readonly watchUntil: string | undefined;
}

export interface TimelineHistory extends TimelineName {
  live: Live | null;
  /** Serves the rest while the live share is below 100. */
  former: Side | null;
  /** What was live before: pages that it sent out ask for its assets. */
  before: Side | null;
  /** Prepared and not retired since. */
  readonly prepared: Set<Digest>;
  /** Contents whose tasks were run. */
  readonly ran: Set<Digest>;
}

/** How the watch of an operation ended, other than well. */
export interface Ending {
  readonly state: 'reverted' | 'stopped' | 'unwatched';
  readonly sequence: number;
  readonly reason: string | null;
}

/** A caller repeats an operation within seconds or minutes; what is older than this many is forgotten. */
const rememberedOperations = 10_000;

/** The journal, folded: what is live and with which share, what is prepared, how each operation ended. */
export class History {
  readonly #timelines = new Map<string, TimelineHistory>();
  readonly #outcomes = new Map<string, Switched | Weighted>();
  readonly #endings = new Map<string, Ending>();

  apply(entry: JournalEntry): void {
    const timeline = this.#timelineOf(entry);
    switch (entry.kind) {
      case 'prepared':
        timeline.prepared.add(entry.content);
        break;
      case 'ran':
        timeline.ran.add(entry.content);
        break;
      case 'switched':
        this.#switched(timeline, entry);
        break;
      case 'weighted':
        this.#weighted(timeline, entry);
        break;
      case 'stopped':
        this.#end(entry.operation, { state: 'stopped', sequence: entry.sequence, reason: entry.reason });
        timeline.prepared.delete(entry.content);
        Object.assign(timeline, { live: null, former: null, before: null });
        break;
      case 'retired':
        timeline.prepared.delete(entry.content);
        break;
      default:
        entry satisfies never;
    }
  }

  timelines(): TimelineHistory[] {
    return [...this.#timelines.values()];
  }

  /** Nothing where the timeline has no entry yet: asking makes none, so that questions cost no memory. */
  timeline(named: TimelineName): Readonly<TimelineHistory> | undefined {
    return this.#timelines.get(timelineKey(named));
  }

  outcome(operation: string): Switched | Weighted | undefined {
    return this.#outcomes.get(operation);
  }

  ending(operation: string): Ending | undefined {
    return this.#endings.get(operation);
  }

  remember(outcome: Switched | Weighted): void {
    this.#outcomes.set(outcome.operation, outcome);
    forgetOldest(this.#outcomes);
  }

  #switched(timeline: TimelineHistory, entry: Switched): void {
    const { live } = timeline;
    const { to: content, release, revision, operation, share = 100, watchUntil, automatic, restores, sequence, reason } = entry;
    if (automatic !== undefined) this.#end(automatic, { state: 'reverted', sequence, reason });
    // Whoever waits for the watch of what was live learns that somebody else has decided.
    else if (live?.watchUntil !== undefined && live.watchUntil > entry.at) {
      this.#end(live.operation, { state: restores === null ? 'unwatched' : 'reverted', sequence, reason: reason ?? 'another content was made live' });
    }
    if (live !== null && live.content !== content) timeline.before = { content: live.content, release: live.release };
    timeline.former = share < 100 && live !== null && live.content !== content ? { content: live.content, release: live.release } : null;
    timeline.live = { content, release, revision, share: timeline.former === null ? 100 : share, operation, watchUntil };
    this.remember(entry);
  }

  #weighted(timeline: TimelineHistory, entry: Weighted): void {
    if (timeline.live?.content === entry.content) {
      timeline.former = entry.share < 100 ? (timeline.former ?? timeline.before) : null;
      timeline.live = { ...timeline.live, share: timeline.former === null ? 100 : entry.share };
    }
    this.remember(entry);
  }

  #end(operation: string, ending: Ending): void {
    this.#endings.set(operation, ending);
    forgetOldest(this.#endings);
  }

  #timelineOf({ application, environment }: TimelineName): TimelineHistory {
    const key = timelineKey({ application, environment });
    let timeline = this.#timelines.get(key);
    if (timeline === undefined) {
      timeline = { application, environment, live: null, former: null, before: null, prepared: new Set(), ran: new Set() };
      this.#timelines.set(key, timeline);
    }
    return timeline;
  }
}

function forgetOldest(map: Map<string, unknown>): void {
  if (map.size <= rememberedOperations) return;
  for (const oldest of map.keys()) {
    map.delete(oldest);
    return;
  }
}
