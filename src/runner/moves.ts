import { setTimeout as sleep } from 'node:timers/promises';
import { CairnError, digestOf, Mutex, shortDigest, type Clock, type Digest } from '#core';
import type { Contents } from './contents.ts';
import type { History } from './history.ts';
import type { Journal } from './journal.ts';
import type { Switched } from './journal-entry.ts';
import type { Metrics } from './metrics.ts';
import type { Plans } from './plans.ts';
import type * as protocol from './protocol.ts';
import type { Router } from './router.ts';
import type { Standing } from './standing.ts';
import { timelineKey, type TimelineName } from './words.ts';

export interface MovesOptions {
  readonly clock: Clock;
  readonly journal: Journal;
  readonly history: History;
  readonly contents: Contents;
  readonly plans: Plans;
  readonly router: Router;
  readonly metrics: Metrics;
  /** What is live or what it shares with changed. */
  readonly moved: (timeline: TimelineName) => void;
  /** A content that was live is to run no more. */
  readonly stopped: (standing: Standing) => void;
}

type Change = Pick<Switched, 'operation' | 'to' | 'release' | 'revision' | 'restores' | 'reason' | 'by'> & Partial<Pick<Switched, 'share' | 'automatic' | 'watchUntil'>>;

/** A way back that is asked answers within this, or another is taken. */
const probeMs = 1_000;
/** After a restart the way back may still be coming up; whoever is being served by nothing waits no longer than this. */
const comingUpMs = 4_000;

/**
 * Every change of what is live. Each is journalled, then routed, then answered: whoever was answered finds it after any crash; whoever
 * was not may ask again with the same operation. Killed between journal and swap, the restart routes to the new side, which is as
 * if the swap had happened.
 */
export class Moves {
  readonly #options: MovesOptions;
  readonly #mutexes = new Map<string, Mutex>();

  constructor(options: MovesOptions) {
    this.#options = options;
  }

  /** One change of a timeline at a time. */
  exclusively<T>(timeline: TimelineName, task: () => Promise<T>): Promise<T> {
    const key = timelineKey(timeline);
    let mutex = this.#mutexes.get(key);
    if (mutex === undefined) this.#mutexes.set(key, (mutex = new Mutex()));
    return mutex.run(task);
  }

  switch(request: protocol.SwitchRequest): Promise<protocol.SwitchAnswer> {
    const { clock, history } = this.#options;
    const start = clock.elapsed();
    return this.exclusively(request, async () => {
      const { operation, content: to, release, revision, expected, share = 100, restores = null, reason = null, by = null, watchMs = null } = request;
      const known = history.outcome(operation);
      if (known !== undefined) return answerAgain(known, request, to);
      const now = history.timeline(request);
      const live = now?.live?.content ?? null;
      if (live !== expected) {
        throw new CairnError('conflict', `${shortOrNothing(live)} is live in ${request.environment}, not ${shortOrNothing(expected)}; nothing was switched`, {
          fix: 'Look at cairn status and decide again',
          context: { live, expected },
        });
      }
      if (share < 100 && now?.former != null) {
        throw new CairnError('conflict', `two revisions share the traffic of ${request.environment} already; nothing was switched`, {
          fix: `End that first: cairn traffic ${request.environment} 100, or cairn rollback ${request.environment}`,
        });
      }
      this.#requireReady(request, to);
      const watchUntil = watchMs === null ? undefined : new Date(clock.now().getTime() + watchMs).toISOString();
      const shared = share < 100 && live !== null && live !== to;
      return answerOf(await this.#make(request, start, { operation, to, release, revision, restores, reason, by, ...(shared && { share }), ...(watchUntil !== undefined && { watchUntil }) }));
    });
  }

  traffic(request: protocol.TrafficRequest): Promise<protocol.TrafficAnswer> {
    const { clock, journal, history } = this.#options;
    const { operation, application, environment, content, share } = request;
    return this.exclusively(request, async () => {
      const known = history.outcome(operation);
      if (known?.kind === 'weighted' && known.content === content && known.share === share) return { sequence: known.sequence, share };
      if (known !== undefined) throw takenOperation(operation);
      const now = history.timeline(request);
      if (now?.live?.content !== content) {
        throw new CairnError('conflict', `${shortDigest(content)} is not live in ${environment}; nothing was changed`, { fix: 'Look at cairn status and decide again' });
      }
      const rest = now.former ?? now.before;
      if (share < 100) {
        if (rest === null) throw new CairnError('conflict', `nothing ran in ${environment} before ${shortDigest(content)} that could take the rest; nothing was changed`);
        this.#requireReady(request, rest.content);
      }
      await this.#journalled(request, async () => history.apply(await journal.append({ kind: 'weighted', operation, application, environment, content, share, at: clock.now().toISOString() })));
      return { sequence: history.outcome(operation)?.sequence ?? 0, share };
    });
  }

  /** By a person, with the plan that the control server left: nobody else is asked. */
  rollback(request: protocol.RollbackRequest): Promise<protocol.RollbackAnswer> {
    const { clock, history, plans } = this.#options;
    const start = clock.elapsed();
    const { operation, environment, by, reason, restores: wanted } = request;
    return this.exclusively(request, async () => {
      const known = history.outcome(operation);
      if (known !== undefined) {
        if (known.kind !== 'switched' || known.restores === null) throw takenOperation(operation);
        return { ...answerAgain(known, request, known.to), release: known.release, restores: known.restores };
      }
      const plan = plans.of(request);
      if (plan === undefined) {
        throw new CairnError('nothing-to-return-to', `the runner was never told where ${environment} may return to`, { fix: 'Start the control server: cairn up' });
      }
      if (!plan.mayRollBack.includes(by)) {
        throw new CairnError('unauthorized', `${by} may not roll back in ${environment}`, { fix: `Ask one of: ${plan.mayRollBack.join(', ')}` });
      }
      const live = history.timeline(request)?.live ?? null;
      const way = live === null ? undefined : await this.#wayBack(request, wanted);
      if (live === null || way === undefined) {
        const what = wanted === null ? 'no earlier revision' : `revision ${wanted}`;
        throw new CairnError('nothing-to-return-to', `${what} of ${request.application} stands ready in ${environment}; nothing was switched`, {
          fix: 'Start the control server, which can start older revisions again: cairn up',
        });
      }
      const { content: to, release, restores } = way;
      const switched = await this.#make(request, start, { operation, to, release, revision: live.revision + 1, restores, reason, by });
      return { ...answerOf(switched), release, restores };
    });
  }

  /**
   * Leaves what the operation made live: to the newest way back that is healthy, or, without one, to nothing at all. Does nothing
   * where something else is live by now. @throws CairnError `storage`, `storage-full`: nothing was done
   */
  async revert(timeline: TimelineName, operation: string, reason: string): Promise<void> {
    const { clock, contents, history, journal, metrics, stopped } = this.#options;
    const start = clock.elapsed();
    let way = await this.#wayBack(timeline, null);
    while (way === undefined && this.#comesUp(timeline) && clock.elapsed() - start < comingUpMs) {
      await sleep(50);
      way = await this.#wayBack(timeline, null);
    }
    await this.exclusively(timeline, async () => {
      const live = history.timeline(timeline)?.live;
      if (live?.operation !== operation) return;
      const { application, environment } = timeline;
      if (way !== undefined && contents.get({ ...timeline, content: way.content })?.ready === true) {
        const { content: to, release, restores } = way;
        await this.#make(timeline, start, { operation: `revert-${digestOf(operation).slice(7, 39)}`, to, release, revision: live.revision + 1, restores, reason, by: null, automatic: operation });
        metrics.reverted(timeline, 'reverted');
        return;
      }
      const { content } = live;
      const standing = contents.get({ ...timeline, content });
      await this.#journalled(timeline, async () => {
        history.apply(await journal.append({ kind: 'stopped', application, environment, operation, content, reason, at: clock.now().toISOString() }));
        contents.remove({ ...timeline, content });
      });
      metrics.reverted(timeline, 'stopped');
      if (standing !== undefined) stopped(standing);
    });
  }

  /** The one path of every switch. */
  async #make(timeline: TimelineName, start: number, change: Change): Promise<Switched> {
    const { clock, journal, history, metrics } = this.#options;
    const { application, environment } = timeline;
    const from = history.timeline(timeline)?.live?.content ?? null;
    const milliseconds = clock.elapsed() - start;
    let switched: Switched | undefined;
    await this.#journalled(timeline, async () => {
      switched = (await journal.append({ kind: 'switched', application, environment, ...change, from, milliseconds, at: clock.now().toISOString() })) as Switched;
      history.apply(switched);
    });
    const outcome = { ...(switched as unknown as Switched), milliseconds: clock.elapsed() - start };
    history.remember(outcome);
    metrics.switched(environment, outcome.milliseconds);
    return outcome;
  }

  /** Routes what was written, at once; the rest follows in the background. */
  async #journalled(timeline: TimelineName, write: () => Promise<void>): Promise<void> {
    const { router, moved } = this.#options;
    const before = router.served(timeline);
    await write();
    router.route(timeline.environment);
    const now = router.served(timeline);
    router.drain(before.filter((content) => !now.includes(content)));
    moved(timeline);
  }

  /** The first that answers. All are asked at once: one that hangs must not take the time of the next. */
  async #wayBack(timeline: TimelineName, restores: number | null): Promise<protocol.Way | undefined> {
    const asked = this.#ways(timeline)
      .filter(({ way }) => restores === null || way.restores === restores)
      .map(({ way, standing }) => ({ way, healthy: Promise.race([standing?.probe() ?? false, sleep(probeMs, false, { ref: false })]) }));
    for (const { way, healthy } of asked) if (await healthy) return way;
    return undefined;
  }

  #comesUp(timeline: TimelineName): boolean {
    return this.#ways(timeline).some(({ standing }) => standing !== undefined && !standing.ready && !standing.stopped);
  }

  #ways(timeline: TimelineName): { readonly way: protocol.Way; readonly standing: Standing | undefined }[] {
    const { plans, history, contents } = this.#options;
    const live = history.timeline(timeline)?.live?.content;
    const ways = plans.of(timeline)?.ways.filter(({ content }) => content !== live) ?? [];
    return ways.map((way) => ({ way, standing: contents.get({ ...timeline, content: way.content }) }));
  }

  #requireReady(timeline: TimelineName, content: Digest): void {
    if (this.#options.contents.get({ ...timeline, content })?.ready === true) return;
    throw new CairnError('unhealthy', `${shortDigest(content)} is not ready in ${timeline.environment}; nothing was switched`, {
      fix: 'Prepare it first',
      context: { content },
    });
  }
}

function answerOf({ sequence, from, to, milliseconds, at }: Switched): protocol.SwitchAnswer {
  return { sequence, from, to, milliseconds, at };
}

/** The same operation again gets the first outcome; the same name for something else is a mistake of the caller. */
function answerAgain(known: NonNullable<ReturnType<History['outcome']>>, { application, environment }: TimelineName, to: Digest): protocol.SwitchAnswer {
  if (known.kind === 'switched' && known.application === application && known.environment === environment && known.to === to) return answerOf(known);
  throw takenOperation(known.operation);
}

function takenOperation(operation: string): CairnError {
  return new CairnError('conflict', `the operation ${operation} was another one already`, { fix: 'Give each operation a name of its own' });
}

function shortOrNothing(content: Digest | null): string {
  return content === null ? 'nothing' : shortDigest(content);
}
