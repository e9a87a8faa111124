import { join } from 'node:path';
import { CairnError, Mutex, shortDigest, type Clock, type Digest } from '#core';
import type { Gateway } from '#gateway';
import type { History } from './history.ts';
import type { InstanceRecords } from './instance-records.ts';
import type { Journal } from './journal.ts';
import type { Switched } from './journal-entry.ts';
import type { Launches, StoredLaunch } from './launches.ts';
import type * as protocol from './protocol.ts';
import { Standing } from './standing.ts';
import { contentKey, type ContentName, type TimelineName } from './words.ts';

export interface DataPlaneOptions {
  readonly clock: Clock;
  readonly gateway: Gateway;
  readonly journal: Journal;
  readonly history: History;
  readonly launches: Launches;
  readonly records: InstanceRecords;
  readonly environments: readonly string[];
  readonly logs: string;
  /** How long requests in flight may take when a content is retired, and processes to end after SIGTERM. */
  readonly drainMs: number;
  readonly report: (error: CairnError) => void;
}

/** What the runner is asked to do (DESIGN 8 and 9), one method a request of the protocol. */
export class DataPlane {
  readonly #options: DataPlaneOptions;
  readonly #standing = new Map<string, Standing>();
  /** Prepare and retire of one content, one at a time. */
  readonly #changing = new Map<string, Mutex>();
  /** Switches of one environment, one at a time: it has one route. */
  readonly #switching: ReadonlyMap<string, Mutex>;
  /** Standbys that come up again in the background after a restart. */
  #restoring: Promise<unknown> = Promise.resolve();
  #stopping = false;

  constructor(options: DataPlaneOptions) {
    this.#options = options;
    this.#switching = new Map(options.environments.map((name) => [name, new Mutex()]));
  }

  /** After a restart: what was live runs and has its route when this resolves; what was ready comes up in the background. */
  async restore(): Promise<void> {
    const { history, launches, report } = this.#options;
    const live: ContentName[] = [];
    const ready: ContentName[] = [];
    for (const { application, environment, live: now, prepared } of history.timelines()) {
      for (const content of new Set([...prepared, ...(now === null ? [] : [now.content])])) {
        (content === now?.content ? live : ready).push({ application, environment, content });
      }
    }
    await launches.removeOthers([...live, ...ready]);
    const restoreOne = async (named: ContentName): Promise<void> => {
      if (!this.#switching.has(named.environment)) {
        report(unknownEnvironment(named.environment));
        return;
      }
      await this.#exclusively(named, async () => {
        if (!this.#standing.has(contentKey(named))) await this.#stand(await launches.read(named)).restore();
      }).catch(report);
    };
    await Promise.all(live.map(restoreOne));
    this.#restoring = Promise.all(ready.map(restoreOne));
  }

  state(): protocol.StateAnswer {
    const { history, journal, gateway } = this.#options;
    const standing = [...this.#standing.values()];
    return {
      timelines: history.timelines().map(({ application, environment, live }) => {
        const here = standing.filter(({ stored }) => stored.application === application && stored.environment === environment);
        return {
          application,
          environment,
          live,
          ready: here.filter(({ healthy }) => healthy > 0).map(({ stored }) => stored.content),
          counts: Object.fromEntries(here.map(({ stored }) => [stored.content, gateway.counts(stored.content)])),
        };
      }),
      sequence: journal.sequence,
      pid: process.pid,
    };
  }

  /** A content that runs is warm whatever the launch says: its digest stands for all that it is, so the first launch counts. */
  async prepare(request: protocol.PrepareRequest): Promise<protocol.PrepareAnswer> {
    this.#environment(request);
    const start = this.#options.clock.elapsed();
    const running = this.#standing.get(contentKey(request));
    if (running !== undefined && running.healthy > 0) return { warm: true, healthy: running.healthy, milliseconds: this.#since(start) };
    return this.#exclusively(request, () => this.#prepareCold(request, start));
  }

  async #prepareCold({ operation, launch, ...named }: protocol.PrepareRequest, start: number): Promise<protocol.PrepareAnswer> {
    const { clock, journal, history, launches } = this.#options;
    let standing = this.#standing.get(contentKey(named));
    if (standing !== undefined) {
      const warm = standing.healthy > 0;
      await standing.becomesHealthy();
      return { warm, healthy: standing.healthy, milliseconds: this.#since(start) };
    }
    const stored = { ...named, launch };
    await launches.keep(stored);
    standing = this.#stand(stored);
    try {
      await standing.prepare();
      const { healthy } = standing;
      const milliseconds = this.#since(start);
      history.apply(await journal.append({ kind: 'prepared', operation, ...named, healthy, milliseconds, at: clock.now().toISOString() }));
      return { warm: false, healthy, milliseconds };
    } catch (error) {
      this.#standing.delete(contentKey(named));
      await standing.stop(0);
      // The one that is live must come back after a restart, even if it can't be started now.
      if (!this.#isLive(named)) await launches.remove(named);
      throw error;
    }
  }

  async probe(request: protocol.ProbeRequest): Promise<protocol.ProbeAnswer> {
    const start = this.#options.clock.elapsed();
    const healthy = (await this.#standing.get(contentKey(request))?.probe()) ?? false;
    return { healthy, milliseconds: this.#since(start) };
  }

  /**
   * Journalled, then switched, then answered: whoever was answered finds it after any crash; whoever was not may ask again with
   * the same operation. Killed between journal and swap, the restart restores the new side, which is as if the swap had happened.
   */
  async switch(request: protocol.SwitchRequest): Promise<protocol.SwitchAnswer> {
    const { clock, gateway, journal, history } = this.#options;
    const start = clock.elapsed();
    return this.#environment(request).run(async () => {
      const former = history.outcome(request.operation);
      if (former !== undefined) return answerAgain(former, request);
      const standing = this.#switchable(request);
      const { content: to, expected: from, restores = null, reason = null, by = null, ...rest } = request;
      const milliseconds = this.#since(start);
      const at = clock.now().toISOString();
      const entry = await journal.append({ kind: 'switched', ...rest, from, to, restores, reason, by, milliseconds, at });
      history.apply(entry);
      gateway.swap(request.environment, standing.backend());
      const outcome = { ...(entry as Switched), milliseconds: this.#since(start) };
      history.remember(outcome);
      return answerOf(outcome);
    });
  }

  async retire(request: protocol.RetireRequest): Promise<protocol.RetireAnswer> {
    const { clock, gateway, journal, history, launches, drainMs } = this.#options;
    const start = clock.elapsed();
    const environment = this.#environment(request);
    return this.#exclusively(request, async () => {
      const standing = await environment.run(async () => {
        if (this.#isLive(request)) {
          throw new CairnError('conflict', `${shortDigest(request.content)} is live in ${request.environment} and can't be retired`, {
            fix: 'Promote or roll back to another content first',
          });
        }
        const known = history.timeline(request)?.prepared.has(request.content) === true;
        const found = this.#standing.get(contentKey(request));
        if (known) history.apply(await journal.append({ kind: 'retired', ...request, at: clock.now().toISOString() }));
        // From here no switch finds it any more; until here one could have made it live.
        this.#standing.delete(contentKey(request));
        return known || found !== undefined ? { found } : undefined;
      });
      if (standing === undefined) return { retired: false, inFlight: 0, milliseconds: this.#since(start) };
      const { inFlight } = await gateway.drain(request.content, drainMs);
      await standing.found?.stop(drainMs);
      await launches.remove(request);
      return { retired: true, inFlight, milliseconds: this.#since(start) };
    });
  }

  async journal(after: number): Promise<protocol.JournalAnswer> {
    const { journal } = this.#options;
    return { entries: await journal.read(after), sequence: journal.sequence };
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    await Promise.all([...this.#standing.values()].map((standing) => standing.stop(this.#options.drainMs)));
    await this.#restoring;
  }

  #stand(stored: StoredLaunch): Standing {
    const { clock, records, logs, gateway, report } = this.#options;
    // A request that came just before: its processes would outlive us.
    if (this.#stopping) throw new CairnError('unreachable', 'the runner is stopping', { fix: 'Start it again: cairn up', retryable: true });
    const standing = new Standing(stored, {
      clock,
      records,
      report,
      logFile: join(logs, stored.application, `${stored.environment}.jsonl`),
      changed: (now) => {
        if (this.#isLive(stored)) gateway.swap(stored.environment, now.backend());
      },
    });
    this.#standing.set(contentKey(stored), standing);
    return standing;
  }

  /** @throws CairnError `conflict`, `unhealthy` */
  #switchable({ application, environment, content, expected }: protocol.SwitchRequest): Standing {
    const timelines = this.#options.history.timelines();
    const other = timelines.find((timeline) => timeline.environment === environment && timeline.application !== application && timeline.live !== null);
    if (other !== undefined) {
      throw new CairnError('conflict', `${environment} serves ${other.application}, and one environment of the runner serves one application`, {
        fix: `Give ${application} an environment of its own`,
      });
    }
    const live = this.#options.history.timeline({ application, environment })?.live?.content ?? null;
    if (live !== expected) {
      throw new CairnError('conflict', `${shortOrNothing(live)} is live in ${environment}, not ${shortOrNothing(expected)}; nothing was switched`, {
        fix: 'Look at cairn status and decide again',
        context: { live, expected },
      });
    }
    const standing = this.#standing.get(contentKey({ application, environment, content }));
    if (standing === undefined || standing.healthy === 0) {
      throw new CairnError('unhealthy', `${shortDigest(content)} is not ready in ${environment}; nothing was switched`, {
        fix: 'Prepare it first',
        context: { content },
      });
    }
    return standing;
  }

  #isLive({ content, ...timeline }: ContentName): boolean {
    return this.#options.history.timeline(timeline)?.live?.content === content;
  }

  /** @throws CairnError `unknown-environment` */
  #environment({ environment }: TimelineName): Mutex {
    const switching = this.#switching.get(environment);
    if (switching === undefined) throw unknownEnvironment(environment);
    return switching;
  }

  #exclusively<T>(named: ContentName, task: () => Promise<T>): Promise<T> {
    const key = contentKey(named);
    let changing = this.#changing.get(key);
    if (changing === undefined) this.#changing.set(key, (changing = new Mutex()));
    return changing.run(task);
  }

  #since(start: number): number {
    return this.#options.clock.elapsed() - start;
  }
}

function answerOf({ sequence, from, to, milliseconds, at }: Switched): protocol.SwitchAnswer {
  return { sequence, from, to, milliseconds, at };
}

/** The same operation again gets the first outcome; the same name for something else is a mistake of the caller. */
function answerAgain(former: Switched, request: protocol.SwitchRequest): protocol.SwitchAnswer {
  const same = former.application === request.application && former.environment === request.environment && former.to === request.content;
  if (same) return answerOf(former);
  throw new CairnError('conflict', `the operation ${request.operation} was another switch already`, { fix: 'Give each operation a name of its own' });
}

function unknownEnvironment(environment: string): CairnError {
  return new CairnError('unknown-environment', `the runner has no environment ${environment}`, {
    fix: `Add ${environment} to the configuration and restart the runner`,
  });
}

function shortOrNothing(content: Digest | null): string {
  return content === null ? 'nothing' : shortDigest(content);
}
