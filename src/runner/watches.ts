import { setTimeout as sleep } from 'node:timers/promises';
import { asCairnError, type CairnError, type Clock } from '#core';
import type { Instance } from '#targets';
import { stoppingError, type Contents } from './contents.ts';
import type { Handovers } from './handovers.ts';
import type { History, Live } from './history.ts';
import type * as protocol from './protocol.ts';
import type { Replicas } from './replicas.ts';
import { timelineKey, type TimelineName } from './words.ts';

export interface WatchesOptions {
  readonly clock: Clock;
  readonly history: History;
  readonly contents: Contents;
  readonly handovers: Handovers;
  readonly report: (error: CairnError) => void;
  /** Leaves what the operation made live. Where it throws it is called again. */
  readonly revert: (timeline: TimelineName, operation: string, reason: string) => Promise<void>;
}

const lookMs = 100;
const probeEveryMs = 500;
/** An answer that takes longer is none. Three of them and their pauses are well under the ten seconds that a revert may take. */
const probeMs = 1_500;
const failedProbes = 3;
const crashes = 3;
const longestDownMs = 2_000;

/** Watches what was just made live, for as long as its switch said, and has it reverted when it crashes or loses its health. */
export class Watches {
  readonly #options: WatchesOptions;
  readonly #open = new Map<string, Watch>();
  #stopping = false;

  constructor(options: WatchesOptions) {
    this.#options = options;
  }

  /** Called after every change of what is live, and after a restart with what must be over before it can be judged. */
  follow(timeline: TimelineName, restored: Promise<unknown> = Promise.resolve()): void {
    const key = timelineKey(timeline);
    const live = this.#options.history.timeline(timeline)?.live ?? undefined;
    const open = this.#open.get(key);
    if (open !== undefined && open.operation === live?.operation) return;
    open?.end();
    this.#open.delete(key);
    if (this.#stopping || live?.watchUntil === undefined || Date.parse(live.watchUntil) <= this.#options.clock.now().getTime()) return;
    const watch = new Watch(timeline, live, live.watchUntil, restored, this.#options);
    this.#open.set(key, watch);
    void watch.over.then(() => {
      if (this.#open.get(key) === watch) this.#open.delete(key);
    });
  }

  /** Answers when the watch of the operation has ended. @throws CairnError `unreachable` when the runner stops before */
  async wait({ operation, ...timeline }: protocol.WatchRequest): Promise<protocol.WatchAnswer> {
    const open = this.#open.get(timelineKey(timeline));
    if (open?.operation === operation) await open.over;
    const { history } = this.#options;
    const ending = history.ending(operation);
    if (ending !== undefined) return ending;
    if (this.#stopping) throw stoppingError();
    const outcome = history.outcome(operation);
    const watched = outcome?.kind === 'switched' && timelineKey(outcome) === timelineKey(timeline) && outcome.watchUntil !== undefined;
    return { state: watched ? 'held' : 'unwatched', sequence: null, reason: null };
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    const open = [...this.#open.values()];
    for (const watch of open) watch.end();
    await Promise.all(open.map(({ over }) => over));
  }
}

interface Probed {
  failures: number;
  due: number;
  asking: boolean;
}

class Watch {
  readonly operation: string;
  /** Never rejects. */
  readonly over: Promise<void>;
  readonly #timeline: TimelineName;
  readonly #content: Live['content'];
  readonly #options: WatchesOptions;
  readonly #end = new AbortController();
  /** What had ended before the watch is not counted. */
  readonly #exitsBefore = new Map<Replicas, number>();
  readonly #probed = new Map<Instance, Probed>();

  constructor(timeline: TimelineName, { operation, content }: Live, until: string, restored: Promise<unknown>, options: WatchesOptions) {
    this.operation = operation;
    this.#timeline = timeline;
    this.#content = content;
    this.#options = options;
    this.over = this.#watch(Date.parse(until), restored);
  }

  end(): void {
    this.#end.abort();
  }

  async #watch(until: number, restored: Promise<unknown>): Promise<void> {
    const { clock, handovers, revert, report } = this.#options;
    const deadline = clock.elapsed() + until - clock.now().getTime();
    for (const part of this.#parts()) this.#exitsBefore.set(part, part.exits);
    await Promise.race([restored, this.#ended()]);
    while (!this.#end.signal.aborted) {
      this.#ask();
      const failure = this.#failure();
      if (failure !== undefined) {
        try {
          await revert(this.#timeline, this.operation, failure);
          return;
        } catch (error) {
          report(asCairnError(error));
        }
      } else if (clock.elapsed() >= deadline && !handovers.busy(this.#timeline) && this.#whole()) return;
      await sleep(lookMs, undefined, { signal: this.#end.signal }).catch(() => {});
    }
  }

  #parts(): readonly Replicas[] {
    return this.#options.contents.get({ ...this.#timeline, content: this.#content })?.parts ?? [];
  }

  /** Nothing is wanting just now: otherwise the watch goes on until that has become a failure or has passed. */
  #whole(): boolean {
    return this.#parts().every(({ healthy }) => healthy > 0) && [...this.#probed.values()].every(({ failures }) => failures === 0);
  }

  /** Why it must go, in words; nothing where it may stay. */
  #failure(): string | undefined {
    const now = this.#options.clock.elapsed();
    for (const part of this.#parts()) {
      const { name } = part.component;
      const exits = part.exits - (this.#exitsBefore.get(part) ?? 0);
      const last = part.failure === undefined ? '' : `: ${part.failure.message}`.slice(0, 500);
      if (exits >= crashes) return `${name} ended ${exits} times${last}`;
      if (part.downSince !== undefined && now - part.downSince >= longestDownMs) return `${name} has had no healthy instance for ${longestDownMs / 1_000} s${last}`;
      for (const { instance } of part.up) {
        if ((this.#probed.get(instance)?.failures ?? 0) >= failedProbes) return `${name} lost its health: ${failedProbes} probes in a row failed`;
      }
    }
    return undefined;
  }

  #ask(): void {
    const { clock } = this.#options;
    const up = new Set(this.#parts().flatMap((part) => part.up.map(({ instance }) => instance)));
    for (const instance of this.#probed.keys()) if (!up.has(instance)) this.#probed.delete(instance);
    for (const instance of up) {
      const probed = this.#probed.get(instance) ?? { failures: 0, due: 0, asking: false };
      this.#probed.set(instance, probed);
      if (probed.asking || clock.elapsed() < probed.due) continue;
      probed.asking = true;
      void Promise.race([instance.probe(), sleep(probeMs, false, { ref: false })])
        .catch(() => false)
        .then((healthy) => {
          probed.asking = false;
          probed.failures = healthy ? 0 : probed.failures + 1;
          probed.due = clock.elapsed() + probeEveryMs;
        });
    }
  }

  async #ended(): Promise<void> {
    const { signal } = this.#end;
    if (!signal.aborted) await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
  }
}
