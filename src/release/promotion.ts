import { setTimeout as sleep } from 'node:timers/promises';
import { envelopeDigest, parsePredicate } from '#attest';
import { CairnError, shortDigest } from '#core';
import type { Decision, Evidence } from '#policy';
import { contentHash, type Content } from './content.ts';
import type { ReleaseDocument } from './document.ts';
import type { Engine, SchemaFact, Spot } from './engine.ts';
import { recordJournal } from './journal.ts';
import { headMoved, movedOf, refusal, type Moved } from './moved.ts';
import { returns } from './plan.ts';
import type { Logged, Prepared, Revision, SignedStatement, Switched, Timeline } from './ports.ts';
import { readRequest } from './requests.ts';
import { intentStatement, outcomeStatement, type Asked } from './statements.ts';
import type { Ways } from './ways.ts';

/** Policies that come into force, and revocations, within one promotion. */
const mostPolicies = 5;

/** Moves a release forward: gate, prepare, switch, watch, confirm. A crash anywhere in it is ended by running it again. */
export class Promotion {
  readonly #engine: Engine;
  readonly #ways: Ways;
  /** Promotions that are being watched, by operation. */
  readonly #watched = new Map<string, Promise<void>>();

  constructor(engine: Engine, ways: Ways) {
    this.#engine = engine;
    this.#ways = ways;
  }

  async promote(signed: SignedStatement): Promise<Moved> {
    const { ledger, registry, faults } = this.#engine.options;
    const { request, release } = readRequest(signed, 'promote', await this.#engine.authority());
    const { application, environment, by } = request;
    return this.#engine.lock(request).run(async () => {
      const operation = envelopeDigest(signed.envelope);
      const known = await ledger.revisionOf(operation);
      if (known !== undefined) return known.state === 'denied' ? this.#refuseAgain(operation) : this.finish(known);
      const timeline = await this.settled(request);
      if (request.head !== null && request.head !== timeline.head) throw headMoved(timeline, request.head);
      const content: Content = { release, configuration: request.configuration, secrets: request.secrets };
      const hash = contentHash(content);
      if (timeline.live?.content === hash) return movedOf(timeline.live);

      const asked: Asked = { operation, application, environment, revision: timeline.head + 1, release, content: hash };
      const document = await this.#engine.guarded(asked, async () => {
        const read = await this.#engine.document(application, release);
        await registry.rehash(application, release);
        return read;
      });
      const sources = await this.#engine.collect(application, release, document);
      const { decision, logged } = await this.#admit(signed, { ...asked, by }, timeline, document, content, sources);
      if (!decision.passed) throw refusal(asked, decision);
      faults.point('attach verdict');
      for (const one of logged.slice(1, 2)) await registry.attach(application, one);
      return { ...(await this.finish(await this.#engine.revisionOf(operation))), debts: decision.rules.filter(({ waived }) => waived === true) };
    });
  }

  /** Decides and commits. Where a policy came into force in between, or something was revoked, it is decided again. */
  async #admit(signed: SignedStatement, asked: Asked & { by: string }, timeline: Timeline, document: ReleaseDocument, content: Content, sources: Evidence['sources']): Promise<{ decision: Decision; logged: readonly Logged[] }> {
    const { ledger, signers } = this.#engine.options;
    for (let tries = 0; ; tries++) {
      const judge = (schema: SchemaFact) => this.#engine.guarded(asked, () => this.#engine.judge(asked, timeline, document, 'promote', schema, sources));
      const judged = await judge(null);
      await this.#requireSecrets(document, content, asked);
      // Only what the gate lets in is run, and the schema command is the release's own code.
      const schema = judged.decision.passed ? await this.#engine.schemaOf(asked, document, content) : null;
      const { decision, verdict, policy, size } = schema === null ? judged : await judge(schema);
      const intent = decision.passed ? [intentStatement(asked, { from: timeline.live?.content ?? null, restores: null }, signers)] : [];
      try {
        return { decision, logged: await ledger.commit([signed, verdict, ...intent], { application: timeline.application, environment: timeline.environment, head: timeline.head, policy, size }) };
      } catch (error) {
        if (!(error instanceof CairnError) || error.code !== 'conflict' || !error.retryable || tries >= mostPolicies) throw error;
      }
    }
  }

  /** From an admitted revision to a live one, and to a confirmed one where nothing is watched. Held by the place's lock. */
  async finish(revision: Revision): Promise<Moved> {
    if (revision.state === 'failed') throw new CairnError('unhealthy', `revision ${revision.number} failed`, { fix: 'cairn status' });
    if (revision.state !== 'preparing' && revision.state !== 'live') return movedOf(revision);
    const { ledger } = this.#engine.options;
    const { application, environment, operation, release } = revision;
    const asked: Asked = { ...revision, revision: revision.number };
    const document = await this.#engine.document(application, release);
    const watchMs = (document.confirm?.seconds ?? 0) * 1000;
    const before = (await ledger.timeline(application, environment)).live;
    const done = revision.state === 'preparing' ? await this.#bringLive(revision, asked, document, before, watchMs) : undefined;
    const from = before !== undefined && before.operation !== operation ? before.release : null;
    const more = { from, switchedMs: done?.switched.milliseconds ?? null, preparedMs: done?.prepared.milliseconds ?? null, healthy: done?.prepared.healthy ?? 0, warm: done?.prepared.warm ?? true };
    if (watchMs > 0) {
      void this.#watch(revision);
      return movedOf(await this.#engine.revisionOf(operation), { ...more, confirmSeconds: watchMs / 1000 });
    }
    await this.#confirm(revision, asked);
    await this.retireOld(revision);
    return movedOf(await this.#engine.revisionOf(operation), more);
  }

  async #bringLive(revision: Revision, asked: Asked, document: ReleaseDocument, before: Revision | undefined, watchMs: number): Promise<{ prepared: Prepared; switched: Switched }> {
    const { ledger, gateway, signers, faults } = this.#engine.options;
    const { operation, application, environment, content, release, number, share } = revision;
    const place = { operation, application, environment, content, release };
    let prepared: Prepared;
    let switched: Switched;
    try {
      const launch = await this.#engine.guarded(asked, () => this.#engine.launch(document, revision, environment));
      faults.point('prepare');
      prepared = await gateway.prepare({ ...place, launch, tasks: true });
      faults.point('switch');
      await this.#offerBefore(revision);
      const shared = before === undefined ? 100 : share;
      switched = await gateway.switch({ ...place, revision: number, expected: before?.content ?? null, restores: null, reason: null, by: revision.by, share: shared, watchMs: watchMs > 0 ? watchMs : null });
      faults.point('switched');
    } catch (error) {
      // The runner cannot be asked: the intent stands, and the same operation goes on when it answers again.
      if (error instanceof CairnError && error.retryable) throw error;
      const detail = error instanceof Error ? error.message.slice(0, 1000) : null;
      await ledger.commit([outcomeStatement(asked, { state: 'failed', milliseconds: null, journal: null, detail }, signers)]);
      throw error;
    }
    this.#ways.forget(revision);
    await ledger.commit([outcomeStatement(asked, { state: 'live', milliseconds: switched.milliseconds, journal: switched.sequence, detail: null }, signers)]);
    return { prepared, switched };
  }

  /** The runner must know where to return to before it watches, and before the server may be gone: what is live now, first, and what that could return to. */
  async #offerBefore(revision: Revision): Promise<void> {
    const { ledger } = this.#engine.options;
    const timeline = await ledger.timeline(revision.application, revision.environment);
    // As the timeline will be a moment later: the revision is live, and what is live now the one before it.
    await this.#ways.offer({ ...timeline, live: revision });
  }

  async #confirm(revision: Revision, asked: Asked): Promise<void> {
    const { ledger, gateway, signers, faults } = this.#engine.options;
    const { application, environment, content, number } = revision;
    faults.point('confirm');
    const { healthy } = await gateway.probe({ application, environment, content }).catch(() => ({ healthy: false }));
    if (!healthy) throw new CairnError('unhealthy', `revision ${number} serves but fails its health check`, { fix: `cairn rollback ${environment}` });
    await ledger.commit([outcomeStatement(asked, { state: 'confirmed', milliseconds: null, journal: null, detail: null }, signers)]);
  }

  /** Waits until a promotion is confirmed, at most so long: it may then still be live. @throws CairnError `reverted`, `unhealthy` */
  async settle(operation: string, limitMs: number): Promise<Moved> {
    const revision = await this.#engine.revisionOf(operation);
    const patience = new AbortController();
    if (revision.state === 'live') await Promise.race([this.#watch(revision), sleep(limitMs, undefined, { signal: patience.signal }).catch(() => {})]);
    patience.abort();
    const after = await this.#engine.revisionOf(operation);
    if (after.state !== 'reverted' && after.state !== 'failed') return movedOf(after);
    const { revisions } = await this.#engine.options.ledger.timeline(after.application, after.environment);
    const next = revisions.find(({ number }) => number === after.number + 1);
    if (after.state === 'failed') throw new CairnError('unhealthy', `revision ${after.number} failed in ${after.environment} and there was nothing to return to: nothing runs there now`, { fix: `cairn logs ${after.environment}, mend it, and promote another release` });
    const where = next === undefined ? 'the revision before' : `${shortDigest(next.release)} (revision ${next.restores})`;
    throw new CairnError('reverted', `${after.environment} went back to ${where}: ${next?.reason ?? 'it was rolled back'}`, {
      fix: `cairn logs ${after.environment} --release ${shortDigest(after.release)}; after mending: cairn resume ${shortDigest(after.release)} ${after.environment}`,
      context: { reverted: after.release, to: next?.release ?? null, revision: next?.number ?? null },
    });
  }

  #watch(revision: Revision): Promise<void> {
    const known = this.#watched.get(revision.operation);
    if (known !== undefined) return known;
    const watching = this.#untilDecided(revision)
      .catch((error: unknown) => {
        if (error instanceof CairnError) this.#engine.options.report(error);
        else throw error;
      })
      .finally(() => this.#watched.delete(revision.operation));
    this.#watched.set(revision.operation, watching);
    return watching;
  }

  /** Outside the lock: a rollback must not wait for a promotion to be confirmed. */
  async #untilDecided(revision: Revision): Promise<void> {
    const { gateway, ledger, signers } = this.#engine.options;
    const { operation, application, environment, content } = revision;
    const asked: Asked = { ...revision, revision: revision.number };
    for (;;) {
      const watched = await gateway.watch({ operation, application, environment }).catch((error: unknown) => {
        if (error instanceof CairnError && error.retryable) return undefined;
        throw error;
      });
      if (watched === undefined) {
        await sleep(200);
        continue;
      }
      await this.#engine.lock(revision).run(async () => {
        await recordJournal(this.#engine, revision);
        if ((await this.#engine.revisionOf(operation)).state !== 'live') return;
        const live = await gateway.live({ application, environment });
        if (watched.state === 'stopped' || live?.content !== content) {
          await ledger.commit([outcomeStatement(asked, { state: 'failed', milliseconds: null, journal: watched.sequence, detail: watched.reason ?? 'it does not serve any more' }, signers)]);
          return;
        }
        await this.#confirm(revision, asked);
        await this.retireOld(revision);
      });
      this.#ways.forget(revision);
      return;
    }
  }

  /** The timeline with nothing half-done in it: an interrupted revision is brought to its end first. Held by the place's lock. */
  async settled(spot: Spot): Promise<Timeline> {
    const { ledger } = this.#engine.options;
    const recorded = await recordJournal(this.#engine, spot);
    const timeline = await ledger.timeline(spot.application, spot.environment);
    const open = timeline.revisions.filter((one) => one.state === 'preparing' || one.state === 'live');
    for (const revision of open) {
      await this.finish(revision).catch((error: unknown) => {
        if (error instanceof CairnError && error.retryable) throw error;
      });
    }
    return open.length === 0 && recorded === 0 ? timeline : ledger.timeline(spot.application, spot.environment);
  }

  /** Only what runs, what shares its traffic and the way back stay up; older contents stay unpacked and are started when wanted. */
  async retireOld({ application, environment }: Spot): Promise<void> {
    const { ledger, gateway } = this.#engine.options;
    const timeline = await ledger.timeline(application, environment);
    const keep = new Set(timeline.revisions.filter((one) => ['live', 'confirmed', 'standby', 'preparing'].includes(one.state)).map((one) => one.content));
    for await (const way of returns(timeline, this.#engine.document)) {
      keep.add(way.hash);
      break;
    }
    const retired = new Set(timeline.revisions.filter((one) => ['retained', 'reverted', 'failed'].includes(one.state) && !keep.has(one.content)).map((one) => one.content));
    for (const content of retired) await gateway.retire({ application, environment, content });
  }

  async #requireSecrets(document: ReleaseDocument, content: Content, { application, environment }: Spot): Promise<void> {
    const { secrets } = this.#engine.options;
    const latest = await secrets.latest(application, environment);
    for (const name of Object.keys(document.secrets ?? {})) {
      const version = content.secrets[name];
      if (version !== undefined && version >= 1 && version <= (latest[name] ?? 0)) continue;
      throw new CairnError('secret-missing', `${application} needs the secret ${name}, which ${environment} does not have; nothing was changed`, { fix: `cairn secret put ${name} ${environment}` });
    }
  }

  async #refuseAgain(operation: string): Promise<never> {
    const verdict = await this.#engine.options.ledger.verdictOf(operation);
    if (verdict === undefined) throw new CairnError('refused', 'this request was refused before', { fix: 'cairn status' });
    const said = parsePredicate('verdict', verdict.statement)['https://cairn.internal/verdict/v1'];
    throw refusal(said, { rules: said.rules });
  }
}
