import { CairnError, Mutex } from '#core';
import type { StoredLaunch } from './launches.ts';
import type { Launch } from './protocol.ts';
import { addressesOf, addressText } from './routes.ts';
import { Standing, type StandingOptions } from './standing.ts';
import { contentKey, timelineKey, type ContentName, type TimelineName } from './words.ts';

/** The contents that run, of all timelines. */
export class Contents {
  readonly #options: StandingOptions;
  readonly #standing = new Map<string, Standing>();
  /** Prepare and retire of one content, one at a time. */
  readonly #changing = new Map<string, { readonly mutex: Mutex; users: number }>();
  #stopping = false;

  constructor(options: StandingOptions) {
    this.#options = options;
  }

  get(named: ContentName): Standing | undefined {
    return this.#standing.get(contentKey(named));
  }

  all(): Standing[] {
    return [...this.#standing.values()];
  }

  of(timeline: TimelineName): Standing[] {
    const key = timelineKey(timeline);
    return this.all().filter(({ stored }) => timelineKey(stored) === key);
  }

  add(stored: StoredLaunch): Standing {
    // A request that came just before the end: its processes would outlive us.
    if (this.#stopping) throw stoppingError();
    const standing = new Standing(stored, this.#options);
    this.#standing.set(contentKey(stored), standing);
    return standing;
  }

  /** From here no switch finds it any more. */
  remove(named: ContentName): void {
    this.#standing.delete(contentKey(named));
  }

  /**
   * What stands of other applications keeps its addresses, also while it isn't live: a way back that another application could
   * take the place of would be none. @throws CairnError `conflict`, naming the other
   */
  checkClaims({ application, environment }: TimelineName, launch: Launch): void {
    const wanted = new Set(addressesOf(launch).map(({ address }) => addressText(address)));
    for (const { stored, addresses } of this.#standing.values()) {
      if (stored.environment !== environment || stored.application === application) continue;
      const text = addresses.map(addressText).find((one) => wanted.has(one));
      if (text === undefined) continue;
      throw new CairnError('conflict', `the route ${text} of ${environment} is ${stored.application}'s, and ${application} wants it too; nothing was started`, {
        fix: `Give ${application} or ${stored.application} another path or host in cairn.yaml`,
        context: { route: text, application: stored.application },
      });
    }
  }

  async exclusively<T>(named: ContentName, task: () => Promise<T>): Promise<T> {
    const key = contentKey(named);
    const changing = this.#changing.get(key) ?? { mutex: new Mutex(), users: 0 };
    this.#changing.set(key, changing);
    changing.users++;
    try {
      return await changing.mutex.run(task);
    } finally {
      if (--changing.users === 0) this.#changing.delete(key);
    }
  }

  async stop(deadlineMs: number): Promise<void> {
    this.#stopping = true;
    await Promise.all(this.all().map((standing) => standing.stop(deadlineMs)));
  }
}

export function stoppingError(): CairnError {
  return new CairnError('unreachable', 'the runner is stopping', { fix: 'Start it again: cairn up', retryable: true });
}
