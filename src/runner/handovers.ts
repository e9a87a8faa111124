import type { Contents } from './contents.ts';
import type { History } from './history.ts';
import type { Standing } from './standing.ts';
import { timelineKey, type TimelineName } from './words.ts';

export interface HandoversOptions {
  readonly history: History;
  readonly contents: Contents;
  /** How long workers may take to end after SIGTERM, and runs of crons to end by themselves. */
  readonly drainMs: number;
}

/**
 * Workers and crons follow what is live, after each switch: first those of the other side end, then the live one's start. Never
 * two sides at once: one loop a timeline, which looks at what is live anew after every wait, and a standing is forgotten here only
 * when nothing of it works any more.
 */
export class Handovers {
  readonly #options: HandoversOptions;
  readonly #working = new Map<string, Standing>();
  readonly #loops = new Map<string, Promise<void>>();
  #stopping = false;

  constructor(options: HandoversOptions) {
    this.#options = options;
  }

  /** Called after every change of what is live. */
  follow(timeline: TimelineName): void {
    const key = timelineKey(timeline);
    if (this.#stopping || this.#loops.has(key)) return;
    this.#loops.set(key, this.#settle(timeline, key).finally(() => this.#loops.delete(key)));
  }

  /** Whether the live side's workers and crons are still to be started. */
  busy(timeline: TimelineName): boolean {
    return this.#loops.has(timelineKey(timeline));
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    await Promise.all(this.#loops.values());
  }

  async #settle(timeline: TimelineName, key: string): Promise<void> {
    while (!this.#stopping) {
      const live = this.#live(timeline);
      const working = this.#working.get(key);
      if (working === live) return;
      if (working !== undefined) {
        await working.deactivate(this.#options.drainMs);
        this.#working.delete(key);
      } else if (live !== undefined) {
        this.#working.set(key, live);
        live.activate();
      }
    }
  }

  #live(timeline: TimelineName): Standing | undefined {
    const content = this.#options.history.timeline(timeline)?.live?.content;
    const standing = content === undefined ? undefined : this.#options.contents.get({ ...timeline, content });
    return standing?.stopped === true ? undefined : standing;
  }
}
