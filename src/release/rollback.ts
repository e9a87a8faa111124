import { predicateTypes, subjectOf } from '#attest';
import { asCairnError, CairnError, type Digest } from '#core';
import { configurationDigest } from './content.ts';
import type { ReleaseDocument } from './document.ts';
import type { Engine } from './engine.ts';
import { recordReturn, returnRequest, type Done } from './journal.ts';
import { movedOf, refusal, type Moved } from './moved.ts';
import { chooseReturn, returns, type Return } from './plan.ts';
import type { Gateway, Prepared, Revision, Switched, Timeline } from './ports.ts';
import type { Promotion } from './promotion.ts';
import { authorize } from './requests.ts';
import { sign, type Asked } from './statements.ts';
import type { Ways } from './ways.ts';

export interface RollbackRequest {
  /** Made by the caller: the same operation again answers the first outcome. */
  readonly operation: string;
  readonly application: string;
  readonly environment: string;
  readonly by: string;
  readonly reason: string | null;
  /** The revision whose content is wanted; the newest that may return where it is left out. */
  readonly to?: number | undefined;
  readonly keepConfiguration?: boolean | undefined;
}

/** One line of the rollback plan. */
export interface PlannedReturn {
  readonly revision: number;
  readonly release: Digest;
  readonly content: Digest;
  readonly restores: number;
  /** The settings that would run, by their digest and in full. */
  readonly configuration: { readonly digest: Digest; readonly values: Readonly<Record<string, string>> };
  readonly secrets: Readonly<Record<string, number>>;
  /** Of the newest preflight; null where none is fresh. */
  readonly preflight: { readonly ageMs: number; readonly healthy: boolean; readonly problems: readonly string[] } | null;
}

export interface RollbackPlan {
  readonly live: Revision | null;
  readonly ways: readonly PlannedReturn[];
}

export interface Drill {
  readonly passed: boolean;
  readonly restores: number;
  readonly content: Digest;
  readonly milliseconds: number;
  readonly problems: readonly string[];
}

const longestPlan = 20;

/** The fast path: the content to return to is verified and running, so that what is left is a switch. */
export class Rollback {
  readonly #engine: Engine;
  readonly #ways: Ways;
  readonly #promotion: Promotion;

  constructor(engine: Engine, ways: Ways, promotion: Promotion) {
    this.#engine = engine;
    this.#ways = ways;
    this.#promotion = promotion;
  }

  async rollback(request: RollbackRequest): Promise<Moved> {
    const { ledger, faults } = this.#engine.options;
    const { application, environment, operation, by } = request;
    authorize(await ledger.policy(), environment, 'rollback', by);
    return this.#engine.lock(request).run(async () => {
      const known = await ledger.revisionOf(operation);
      if (known !== undefined) return movedOf(known);
      const timeline = await this.#promotion.settled(request);
      const again = await ledger.revisionOf(operation);
      if (again !== undefined) return movedOf(again);

      const target = await chooseReturn(timeline, this.#engine.document, request);
      const asked: Asked = { operation, application, environment, revision: timeline.head + 1, release: target.content.release, content: target.hash };
      const document = await this.#engine.document(application, target.content.release);
      const ready = this.#ways.fresh(request, target.hash);
      const judged = await this.#engine.guarded(asked, async () =>
        this.#engine.judge({ ...asked, by }, timeline, document, 'rollback', ready === undefined ? await this.#engine.schemaOf(request, document, target.content) : ready.schema),
      );
      const done = { application, environment, by, reason: request.reason, restores: target.restores, content: target.content };
      if (!judged.decision.passed) {
        await ledger.commit([returnRequest(this.#engine, asked, timeline, done), judged.verdict], timeline);
        throw refusal(asked, judged.decision);
      }
      faults.point('switch');
      const { switched, prepared } = await this.#switchBack(asked, timeline, target, document, { ...request, ready: ready?.healthy === true });
      faults.point('switched');
      this.#ways.forget(request);
      const { revision, recorded } = await this.#record(asked, timeline, { ...done, journal: switched.sequence, milliseconds: switched.milliseconds }, judged, target);
      const debts = judged.decision.rules.filter(({ passed }) => !passed);
      const more = { preparedMs: prepared?.milliseconds ?? null, healthy: prepared?.healthy ?? 0, warm: prepared?.warm ?? true };
      return movedOf(revision, { ...more, from: timeline.live?.release ?? null, switchedMs: switched.milliseconds, debts, recorded });
    });
  }

  /** The warm way: one call. Only where the content is not running any more is it started again first. */
  async #switchBack(asked: Asked, timeline: Timeline, target: Return, document: ReleaseDocument, by: { reason: string | null; by: string; ready: boolean }): Promise<{ switched: Switched; prepared: Prepared | undefined }> {
    const { gateway } = this.#engine.options;
    const { operation, application, environment, content, release } = asked;
    const place = { operation, application, environment, content, release };
    const request: Parameters<Gateway['switch']>[0] = { ...place, revision: asked.revision, expected: timeline.live?.content ?? null, restores: target.restores, reason: by.reason, by: by.by, share: 100, watchMs: null };
    if (by.ready) {
      // It may have died since it was looked at: the runner then switches nothing, and the way over a start is still open.
      const switched = await gateway.switch(request).catch((error: unknown) => {
        if (error instanceof CairnError && error.code === 'unhealthy') return undefined;
        throw error;
      });
      if (switched !== undefined) return { switched, prepared: undefined };
    }
    const { healthy } = await gateway.probe({ application, environment, content }).catch(() => ({ healthy: false }));
    const launch = healthy ? undefined : await this.#engine.guarded(asked, () => this.#engine.launch(document, target.content, environment));
    const prepared = launch === undefined ? undefined : await gateway.prepare({ ...place, launch, tasks: false });
    return { switched: await gateway.switch(request), prepared };
  }

  /** A log that cannot be written takes nothing back: the runner's journal has the switch, and it is logged from there later. */
  async #record(asked: Asked, timeline: Timeline, done: Done, judged: Parameters<typeof recordReturn>[4], target: Return): Promise<{ revision: Revision; recorded: boolean }> {
    try {
      return { revision: await recordReturn(this.#engine, asked, timeline, done, judged), recorded: true };
    } catch (error) {
      const failure = asCairnError(error);
      if (failure.code !== 'storage-full' && failure.code !== 'storage') throw error;
      this.#engine.options.report(failure);
      const { content, hash } = target;
      const revision: Revision = {
        ...asked, number: asked.revision, state: 'confirmed', content: hash, configuration: content.configuration, secrets: content.secrets, confirmed: true,
        restores: done.restores, by: done.by, reason: done.reason, verdict: null, share: 100,
      };
      return { revision, recorded: false };
    }
  }

  async plan(spot: { application: string; environment: string }): Promise<RollbackPlan> {
    const timeline = await this.#engine.options.ledger.timeline(spot.application, spot.environment);
    const ways: PlannedReturn[] = [];
    for await (const one of returns(timeline, this.#engine.document)) {
      const ready = this.#ways.fresh(spot, one.hash);
      const { configuration, secrets, release } = one.content;
      ways.push({
        revision: one.revision.number, release, content: one.hash, restores: one.restores, secrets,
        configuration: { digest: configurationDigest(configuration), values: configuration },
        preflight: ready === undefined ? null : { ageMs: this.#engine.options.clock.elapsed() - ready.at, healthy: ready.healthy, problems: ready.problems },
      });
      if (ways.length >= longestPlan) break;
    }
    return { live: timeline.live ?? null, ways };
  }

  /** Everything but the switch, now: whether the plan would hold, proven and logged before it is needed. */
  async drill(request: Omit<RollbackRequest, 'reason'>): Promise<Drill> {
    const { ledger, clock, signers } = this.#engine.options;
    const { application, environment, by, operation } = request;
    authorize(await ledger.policy(), environment, 'rollback', by);
    const timeline = await ledger.timeline(application, environment);
    const target = await chooseReturn(timeline, this.#engine.document, request);
    const start = clock.elapsed();
    const found = await this.#ways.check(timeline, target).then(
      ({ healthy, problems }) => ({ healthy, problems: [...problems] }),
      (error: unknown) => ({ healthy: false, problems: [error instanceof Error ? error.message.slice(0, 1000) : String(error)] }),
    );
    const drill: Drill = { passed: found.healthy && found.problems.length === 0, restores: target.restores, content: target.hash, milliseconds: clock.elapsed() - start, problems: found.problems };
    const predicate = { application, environment, by, nonce: operation, ...drill };
    await ledger.commit([sign({ predicateType: predicateTypes.drill, subject: [subjectOf(application, target.content.release)], predicate }, signers.record)]);
    return drill;
  }
}
