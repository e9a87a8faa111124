import { setTimeout as sleep } from 'node:timers/promises';
import { asCairnError, type CairnError, type Clock, type Digest } from '#core';
import type { Gateway } from '#gateway';
import type { Contents } from './contents.ts';
import type { History, TimelineHistory } from './history.ts';
import { tableOf, type Routed } from './routes.ts';
import type { Standing } from './standing.ts';
import { contentKey, type ContentName, type TimelineName } from './words.ts';

export interface RouterOptions {
  readonly clock: Clock;
  readonly gateway: Gateway;
  readonly history: History;
  readonly contents: Contents;
  readonly drainMs: number;
  readonly report: (error: CairnError) => void;
}

const pollMs = 20;

/** Keeps the gateway's tables what the history says is live. */
export class Router {
  readonly #options: RouterOptions;
  readonly #draining = new Set<Promise<unknown>>();
  readonly #stop = new AbortController();
  /** Contents that serve no assets just now. */
  readonly #hidden = new Set<string>();

  constructor(options: RouterOptions) {
    this.#options = options;
  }

  /** One swap of the whole table of the environment: from the next request on, all its applications are where the history has them. */
  route(environment: string): void {
    const { gateway, history } = this.#options;
    const timelines = history.timelines().filter((timeline) => timeline.environment === environment);
    gateway.route(environment, tableOf(timelines.map((timeline) => this.#routed(timeline))));
  }

  /** An instance of it came up or went. */
  changed({ stored }: Standing): void {
    const timeline = this.#options.history.timeline(stored);
    const routed = [timeline?.live, timeline?.former, timeline?.before];
    if (routed.some((side) => side?.content === stored.content)) this.route(stored.environment);
  }

  /** Contents that get requests of the timeline. */
  served(timeline: TimelineName): Digest[] {
    const now = this.#options.history.timeline(timeline);
    return [now?.live, now?.former].flatMap((side) => (side === null || side === undefined ? [] : [side.content]));
  }

  /** In the background: what is still in flight on contents that were left may end until the deadline. They stay warm. */
  drain(timeline: TimelineName, left: readonly Digest[]): void {
    for (const content of left) {
      const { application, environment } = timeline;
      const draining = this.#drain({ application, environment, content }).catch((error: unknown) => this.#options.report(asCairnError(error)));
      this.#draining.add(draining);
      void draining.finally(() => this.#draining.delete(draining));
    }
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await Promise.all(this.#draining);
  }

  /** The gateway cuts nothing where it may still ask for assets: for the moment of the cut it is told that it may not. */
  async #drain(left: ContentName): Promise<void> {
    const { clock, gateway, drainMs } = this.#options;
    const { content } = left;
    const { signal } = this.#stop;
    for (const start = clock.elapsed(); clock.elapsed() - start < drainMs && gateway.counts(content).inFlight > 0 && !signal.aborted; ) {
      await sleep(pollMs, undefined, { signal }).catch(() => {});
    }
    if (this.served(left).includes(content) || gateway.counts(content).inFlight === 0) return;
    const key = contentKey(left);
    this.#hidden.add(key);
    try {
      this.route(left.environment);
      await gateway.drain(content, 0);
    } finally {
      this.#hidden.delete(key);
      this.route(left.environment);
    }
  }

  #routed(timeline: TimelineHistory): Routed {
    const { contents } = this.#options;
    const standing = (side: { readonly content: Digest } | null) => (side === null ? undefined : contents.get({ ...timeline, content: side.content }));
    const { live, former, before } = timeline;
    const assets = before === null || before.content === live?.content || this.#hidden.has(contentKey({ ...timeline, content: before.content })) ? null : before;
    return { live: standing(live), share: live?.share ?? 100, former: standing(former), before: standing(assets) };
  }
}
