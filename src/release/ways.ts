import { CairnError, type Digest } from '#core';
import { mayDo } from './requests.ts';
import type { Engine, SchemaFact, Spot } from './engine.ts';
import { returns, type Return } from './plan.ts';
import type { Timeline } from './ports.ts';

/** What is known of a way back, and since when by the clock's elapsed time. */
export interface Readiness {
  readonly at: number;
  readonly healthy: boolean;
  readonly schema: SchemaFact;
  /** What would stop it or be owed, in words; empty where all is well. */
  readonly problems: readonly string[];
}

/** How long a preflight's result counts. */
const freshMs = 30_000;
/** Bytes at rest are read again this often; reading them at every look would only wear the disk. */
const rehashMs = 600_000;
/** Ways that the runner is told, for when nobody can be asked. */
const offered = 3;

/**
 * Checks ways back before they are needed: evidence against today's policy, bytes, schema, and that the best one runs and
 * answers. A rollback then has only to switch.
 */
export class Ways {
  readonly #engine: Engine;
  readonly #known = new Map<string, Readiness>();
  readonly #rehashed = new Map<string, number>();

  constructor(engine: Engine) {
    this.#engine = engine;
  }

  /** The result of a look that is fresh enough to go by. */
  fresh(spot: Spot, content: Digest): Readiness | undefined {
    const known = this.#known.get(keyOf(spot, content));
    return known !== undefined && this.#engine.options.clock.elapsed() - known.at < freshMs ? known : undefined;
  }

  /** Data may have changed its schema, an instance may be gone: what was seen before does not count any more. */
  forget({ application, environment }: Spot): void {
    for (const key of this.#known.keys()) if (key.startsWith(`${environment}/${application}/`)) this.#known.delete(key);
  }

  /** One round over all timelines. A place that fails is reported and keeps no other from being looked at. */
  async look(): Promise<void> {
    for (const timeline of await this.#engine.options.ledger.timelines()) {
      await this.offer(timeline).catch((error: unknown) => this.#report(error));
      for await (const one of returns(timeline, this.#engine.document)) {
        await this.check(timeline, one).catch((error: unknown) => this.#report(error));
        break;
      }
    }
  }

  /** Tells the runner where it may return to by itself: only what today's gate would let back. */
  async offer(timeline: Timeline): Promise<void> {
    const { application, environment } = timeline;
    const { ledger, gateway } = this.#engine.options;
    const policy = await ledger.policy();
    if (!policy.environments.some(({ name }) => name === environment)) return;
    const ways = [];
    for await (const one of returns(timeline, this.#engine.document)) {
      const document = await this.#engine.document(application, one.content.release);
      const decision = await this.#engine.weigh({ ...asked(timeline, one), by: mayDo(policy, environment, 'rollback')[0] ?? '' }, timeline, document, 'rollback', null);
      if (decision.passed) ways.push({ content: one.hash, release: one.content.release, restores: one.restores });
      if (ways.length >= offered) break;
    }
    await gateway.plan({ application, environment, mayRollBack: mayDo(policy, environment, 'rollback'), ways });
  }

  /** Everything that a rollback to it needs, up to the switch; starts it if it does not run. */
  async check(timeline: Timeline, one: Return): Promise<Readiness> {
    const { application, environment } = timeline;
    const { gateway, clock } = this.#engine.options;
    const spot = { application, environment };
    const problems: string[] = [];
    const document = await this.#engine.document(application, one.content.release);
    await this.#rehash(application, one.content.release);
    const schema = await this.#engine.schemaOf(spot, document, one.content);
    const by = mayDo(await this.#engine.options.ledger.policy(), environment, 'rollback')[0] ?? '';
    const decision = await this.#engine.weigh({ ...asked(timeline, one), by }, timeline, document, 'rollback', schema);
    problems.push(...decision.rules.filter(({ passed }) => !passed).map(({ rule, found }) => `${rule}: ${found}`));
    let { healthy } = await gateway.probe({ ...spot, content: one.hash });
    if (!healthy && decision.passed) {
      const launch = await this.#engine.launch(document, one.content, environment);
      await gateway.prepare({ ...asked(timeline, one), launch, tasks: false });
      healthy = true;
    }
    const found: Readiness = { at: clock.elapsed(), healthy, schema, problems };
    this.#known.set(keyOf(spot, one.hash), found);
    return found;
  }

  saw(spot: Spot, content: Digest, healthy: boolean): void {
    const known = this.#known.get(keyOf(spot, content));
    if (known !== undefined && !healthy) this.#known.delete(keyOf(spot, content));
  }

  async #rehash(application: string, release: Digest): Promise<void> {
    const { clock, registry } = this.#engine.options;
    const last = this.#rehashed.get(release);
    if (last !== undefined && clock.elapsed() - last < rehashMs) return;
    await registry.rehash(application, release);
    this.#rehashed.set(release, clock.elapsed());
  }

  #report(error: unknown): void {
    if (error instanceof CairnError && error.retryable) return;
    this.#engine.options.report(error instanceof CairnError ? error : new CairnError('internal', error instanceof Error ? error.message : String(error), { cause: error }));
  }
}

function asked({ application, environment, head }: Timeline, { hash, content }: Return) {
  return { operation: `preflight-${hash.slice(7, 23)}`, application, environment, revision: head + 1, release: content.release, content: hash };
}

function keyOf({ application, environment }: Spot, content: Digest): string {
  return `${environment}/${application}/${content}`;
}
