import { CairnError, type Clock } from '#core';
import type { Gateway } from '#gateway';
import { Contents } from './contents.ts';
import { Handovers } from './handovers.ts';
import type { History } from './history.ts';
import type { Journal } from './journal.ts';
import type { Launcher } from './launcher.ts';
import type { Launches } from './launches.ts';
import { Metrics } from './metrics.ts';
import { Moves } from './moves.ts';
import type { Places } from './places.ts';
import type { Plans } from './plans.ts';
import { Preparing } from './preparing.ts';
import type * as protocol from './protocol.ts';
import { Router } from './router.ts';
import type { Standing } from './standing.ts';
import { Watches } from './watches.ts';
import { timelineKey, type ContentName, type TimelineName } from './words.ts';

export interface DataPlaneOptions {
  readonly clock: Clock;
  readonly gateway: Gateway;
  readonly journal: Journal;
  readonly history: History;
  readonly launches: Launches;
  readonly launcher: Launcher;
  readonly places: Places;
  readonly plans: Plans;
  readonly environments: readonly string[];
  /** How long requests in flight may take when a content is left, and processes to end after SIGTERM. */
  readonly drainMs: number;
  readonly report: (error: CairnError) => void;
}

/** What is live opens its doors after this, even if not all of it could be started yet. */
const longestRestoreMs = 5_000;

/** What the runner is asked to do (DESIGN 8 and 9), one method a request of the protocol. */
export class DataPlane {
  readonly #options: DataPlaneOptions;
  readonly #contents: Contents;
  readonly #router: Router;
  readonly #handovers: Handovers;
  readonly #moves: Moves;
  readonly #watches: Watches;
  readonly #preparing: Preparing;
  readonly #metrics = new Metrics();
  /** What comes up in the background after a restart, and what goes down after its end. */
  readonly #background = new Set<Promise<unknown>>();

  constructor(options: DataPlaneOptions) {
    this.#options = options;
    const { clock, history, gateway, launcher, drainMs, report } = options;
    const contents = (this.#contents = new Contents({
      launcher,
      report,
      changed: (standing) => this.#router.changed(standing),
      ran: ({ stored }, component, ok) => this.#metrics.cron(stored, component, ok),
    }));
    const router = (this.#router = new Router({ gateway, history, contents, drainMs, report }));
    const handovers = (this.#handovers = new Handovers({ history, contents, drainMs }));
    const moves = (this.#moves = new Moves({
      ...options,
      contents,
      router,
      metrics: this.#metrics,
      moved: (timeline) => {
        handovers.follow(timeline);
        this.#watches.follow(timeline);
      },
      stopped: (standing) => this.#inBackground(this.#end(standing)),
    }));
    this.#watches = new Watches({ clock, history, contents, handovers, report, revert: (timeline, operation, reason) => moves.revert(timeline, operation, reason) });
    this.#preparing = new Preparing({ ...options, contents, moves, router });
  }

  /** After a restart: what was live runs and has its routes when this resolves; what was ready comes up in the background. */
  async restore(): Promise<void> {
    const { history, launches, environments, report } = this.#options;
    const served: ContentName[] = [];
    const ready: ContentName[] = [];
    for (const { application, environment, live, former, prepared } of history.timelines()) {
      const serves = [live, former].flatMap((side) => (side === null ? [] : [side.content]));
      for (const content of new Set([...serves, ...prepared])) (serves.includes(content) ? served : ready).push({ application, environment, content });
    }
    await launches.removeOthers([...served, ...ready]);
    const known = (all: readonly ContentName[]) => Promise.all(all.filter(({ environment }) => environments.includes(environment)).map((named) => this.#known(named)));
    const missing = new Set([...served, ...ready].map(({ environment }) => environment).filter((environment) => !environments.includes(environment)));
    for (const environment of missing) report(unknownEnvironment(environment));
    // All are known before any is started, so that each keeps its addresses.
    const [first, second] = [await known(served), await known(ready)];
    const restored = new Map<string, Promise<unknown>[]>();
    for (const standing of first.filter((one) => one !== undefined)) {
      const key = timelineKey(standing.stored);
      restored.set(key, [...(restored.get(key) ?? []), this.#inBackground(standing.restore())]);
    }
    const all = Promise.all([...restored.values()].flat());
    for (const timeline of history.timelines().filter(({ environment }) => environments.includes(environment))) {
      this.#handovers.follow(timeline);
      this.#watches.follow(timeline, Promise.all(restored.get(timelineKey(timeline)) ?? []));
    }
    let timer: NodeJS.Timeout | undefined;
    await Promise.race([all, new Promise((resolve) => (timer = setTimeout(resolve, longestRestoreMs)))]);
    clearTimeout(timer);
    for (const environment of environments) this.#router.route(environment);
    // Also where a watch reverts: what it goes back to must come up whatever becomes of the others.
    for (const standing of second) if (standing !== undefined) this.#inBackground(standing.restore());
  }

  state(): protocol.StateAnswer {
    const { history, journal, gateway, places } = this.#options;
    const { users, limits, reason } = places.isolation;
    return {
      timelines: history.timelines().map(({ application, environment, live, former }) => {
        const here = this.#contents.of({ application, environment });
        return {
          application,
          environment,
          live: live === null ? null : { content: live.content, release: live.release, revision: live.revision, share: live.share },
          former,
          ready: here.filter(({ ready }) => ready).map(({ stored }) => stored.content),
          instances: here.flatMap((standing) => instancesOf(standing)),
          counts: Object.fromEntries(here.map(({ stored }) => [stored.content, gateway.counts(stored.content)])),
        };
      }),
      sequence: journal.sequence,
      pid: process.pid,
      isolation: { users, limits, reason },
    };
  }

  prepare = this.#in((request: protocol.PrepareRequest) => this.#preparing.prepare(request));
  schema = this.#in((request: protocol.SchemaRequest) => this.#preparing.schema(request));
  retire = this.#in((request: protocol.RetireRequest) => this.#preparing.retire(request));
  switch = this.#in((request: protocol.SwitchRequest) => this.#moves.switch(request));
  traffic = this.#in((request: protocol.TrafficRequest) => this.#moves.traffic(request));
  rollback = this.#in((request: protocol.RollbackRequest) => this.#moves.rollback(request));
  watch = this.#in((request: protocol.WatchRequest) => this.#watches.wait(request));
  plan = this.#in(async (request: protocol.PlanRequest) => {
    await this.#options.plans.keep(request);
    return {};
  });

  async probe(request: protocol.ProbeRequest): Promise<protocol.ProbeAnswer> {
    const start = this.#options.clock.elapsed();
    const healthy = (await this.#contents.get(request)?.probe()) ?? false;
    return { healthy, milliseconds: this.#options.clock.elapsed() - start };
  }

  async journal(after: number): Promise<protocol.JournalAnswer> {
    const { journal } = this.#options;
    return { entries: await journal.read(after), sequence: journal.sequence };
  }

  metrics(): string {
    return this.#options.gateway.metrics() + this.#metrics.text(this.#contents.all());
  }

  async stop(): Promise<void> {
    const { drainMs, launcher } = this.#options;
    await Promise.all([this.#watches.stop(), this.#handovers.stop(), this.#contents.stop(drainMs)]);
    await launcher.stop();
    await Promise.all(this.#background);
  }

  async #known(named: ContentName): Promise<Standing | undefined> {
    try {
      return this.#contents.get(named) ?? this.#contents.add(await this.#options.launches.read(named));
    } catch (error) {
      this.#options.report(error instanceof CairnError ? error : new CairnError('storage', String(error), { cause: error }));
      return undefined;
    }
  }

  async #end(standing: Standing): Promise<void> {
    await standing.stop(this.#options.drainMs);
    await this.#options.launches.remove(standing.stored);
  }

  #inBackground<T>(work: Promise<T>): Promise<T | void> {
    const done = work.catch((error: unknown) => this.#options.report(error instanceof CairnError ? error : new CairnError('internal', String(error), { cause: error })));
    this.#background.add(done);
    void done.finally(() => this.#background.delete(done));
    return done;
  }

  /** @throws CairnError `unknown-environment` */
  #in<Q extends TimelineName, A>(task: (request: Q) => Promise<A>): (request: Q) => Promise<A> {
    return async (request) => {
      if (!this.#options.environments.includes(request.environment)) throw unknownEnvironment(request.environment);
      return task(request);
    };
  }
}

function instancesOf({ stored, parts }: Standing): protocol.StateAnswer['timelines'][number]['instances'] {
  return parts.flatMap(({ component, up }) =>
    up.map(({ instance, restarts }) => ({
      component: component.name,
      content: stored.content,
      release: stored.release,
      pid: instance.pid,
      port: instance.port,
      healthy: true,
      restarts,
    })),
  );
}

function unknownEnvironment(environment: string): CairnError {
  return new CairnError('unknown-environment', `the runner has no environment ${environment}`, {
    fix: `Add ${environment} to the configuration and restart the runner`,
  });
}
