import { asCairnError, CairnError, type Digest } from '#core';
import type { Gateway, Route } from '#gateway';
import type { Contents } from './contents.ts';
import type { History, TimelineHistory } from './history.ts';
import { addressText, tableOf, type Routed } from './routes.ts';
import type { Standing } from './standing.ts';
import type { TimelineName } from './words.ts';

export interface RouterOptions {
  readonly gateway: Gateway;
  readonly history: History;
  readonly contents: Contents;
  readonly drainMs: number;
  readonly report: (error: CairnError) => void;
}

/** Keeps the gateway's tables what the history says is live. */
export class Router {
  readonly #options: RouterOptions;

  constructor(options: RouterOptions) {
    this.#options = options;
  }

  /** One swap of the whole table of the environment: from the next request on, all its applications are where the history has them. */
  route(environment: string): void {
    const { gateway, history, report } = this.#options;
    const timelines = history.timelines().filter((timeline) => timeline.environment === environment);
    const routes = new Map<string, Route>();
    for (const route of tableOf(timelines.map((timeline) => this.#routed(timeline)))) {
      const text = addressText(route);
      // Nothing is prepared that wants what another has; were it so all the same, all the others must still be served.
      if (routes.has(text)) report(new CairnError('conflict', `two applications of ${environment} want the route ${text}; the one that came first has it`));
      else routes.set(text, route);
    }
    gateway.route(environment, [...routes.values()]);
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
  drain(left: readonly Digest[]): void {
    const { gateway, drainMs, report } = this.#options;
    for (const content of left) gateway.drain(content, drainMs).catch((error: unknown) => report(asCairnError(error)));
  }

  #routed(timeline: TimelineHistory): Routed {
    const { contents } = this.#options;
    const standing = (side: { readonly content: Digest } | null) => (side === null ? undefined : contents.get({ ...timeline, content: side.content }));
    const { live, former, before } = timeline;
    const assets = before === null || before.content === live?.content ? null : before;
    return { live: standing(live), share: live?.share ?? 100, former: standing(former), before: standing(assets) };
  }
}
