import { envelopeDigest, parsePredicate, parseStatement, payloadOf, subjectDigests, type Request } from '#attest';
import { CairnError, Mutex, shortDigest, type Clock, type Digest, type Faults } from '#core';
import { decide, environmentOf, personOf, type Decision, type Policy } from '#policy';
import { contentHash } from './content.ts';
import type { ReleaseDocument } from './document.ts';
import { gatherEvidence, type Verifier } from './evidence.ts';
import { launchOf } from './launch.ts';
import { returnTarget, wayBack } from './plan.ts';
import type { Gateway, JournalledSwitch, Ledger, Prepared, Registry, Revision, SignedStatement, Switched, Timeline } from './ports.ts';
import { intentStatement, outcomeStatement, requestStatement, sign, verdictStatement, type Asked, type ServerSigners } from './statements.ts';

export interface DeliveryOptions {
  readonly ledger: Ledger;
  readonly registry: Registry;
  readonly gateway: Gateway;
  readonly signers: ServerSigners;
  readonly verify: Verifier;
  readonly origin: string;
  readonly version: string;
  /** `linux/amd64`: which of a component's manifests runs here. */
  readonly platform: string;
  readonly clock: Clock;
  readonly faults: Faults;
}

/** How a promotion or rollback ended. */
export interface Moved {
  readonly operation: string;
  readonly revision: Revision;
  readonly from: Digest | null;
  readonly switchedMs: number | null;
  readonly preparedMs: number | null;
  readonly healthy: number;
  readonly warm: boolean;
}

interface RollbackRequest {
  /** Made by the caller: the same operation again answers the first outcome. */
  readonly operation: string;
  readonly application: string;
  readonly environment: string;
  readonly by: string;
  readonly reason: string | null;
}

type Done = Omit<RollbackRequest, 'operation'> & { readonly restores: number };

/** Moves releases between environments. Every method is safe to call again with the same input after a crash of either side. */
export interface Delivery {
  promote(request: SignedStatement): Promise<Moved>;
  rollback(request: RollbackRequest): Promise<Moved>;
  resume(request: SignedStatement): Promise<void>;
  /** Ends what a crash interrupted, by the normal path. */
  recover(): Promise<void>;
  /** Checks every way back before it is needed: called every few seconds, so that a rollback has only to switch. */
  preflight(): Promise<void>;
}

/** How long a way back that was found healthy counts as such. */
const preflightMs = 30_000;

export function delivery(options: DeliveryOptions): Delivery {
  const { ledger, registry, gateway, signers, faults } = options;
  const locks = new Map<string, Mutex>();
  /** When a content was last found healthy in a place, by the clock's elapsed time. */
  const healthyAt = new Map<string, number>();
  /** Places whose journal holds nothing that the log lacks: so from a look until a call to the runner fails. */
  const recorded = new Set<string>();

  function lock(application: string, environment: string): Mutex {
    const name = `${environment}/${application}`;
    const known = locks.get(name) ?? new Mutex();
    locks.set(name, known);
    return known;
  }

  async function promote(signed: SignedStatement): Promise<Moved> {
    const { request, release } = readRequest(signed, 'promote', await ledger.policy());
    return lock(request.application, request.environment).run(async () => {
      const operation = envelopeDigest(signed.envelope);
      const known = await ledger.revisionOf(operation);
      if (known !== undefined) return known.state === 'denied' ? refuseAgain(operation) : finish(known);
      const timeline = await settled(request.application, request.environment);
      if (request.head !== null && request.head !== timeline.head) throw moved(timeline, request.head);
      const content = contentHash({ release, configuration: request.configuration, secrets: request.secrets });
      if (timeline.live?.content === content) return unmoved(timeline.live);

      const document = await registry.document(request.application, release);
      const asked: Asked = { operation, application: request.application, environment: request.environment, revision: timeline.head + 1, release, content };
      const { decision, verdict } = await judge(asked, timeline, document, 'promote');
      const intent = decision.passed ? [intentStatement(asked, { from: timeline.live?.content ?? null, restores: null }, signers)] : [];
      const logged = await ledger.commit([signed, verdict, ...intent], timeline);
      if (!decision.passed) throw refusal(asked, decision);
      faults.point('attach verdict');
      for (const one of logged.slice(1, 2)) await registry.attach(request.application, one);
      return finish(await revisionOf(operation));
    });
  }

  /** From an admitted revision to a confirmed one. A crash anywhere in it is ended by running it again. */
  async function finish(revision: Revision): Promise<Moved> {
    if (revision.state === 'failed') throw new CairnError('unhealthy', `revision ${revision.number} failed`, { fix: 'cairn status' });
    if (revision.state !== 'preparing' && revision.state !== 'live') return unmoved(revision);
    const { application, environment, operation, release, content } = revision;
    const place = { operation, application, environment, content, release };
    const asked: Asked = { ...place, revision: revision.number };
    const before = (await ledger.timeline(application, environment)).live;
    let prepared = { warm: true, healthy: 0, milliseconds: 0 };
    let switched: Switched | undefined;
    if (revision.state === 'preparing') {
      try {
        const document = await registry.document(application, release);
        const launch = await launchOf(document, revision, options.platform, registry);
        faults.point('prepare');
        prepared = await gateway.prepare({ ...place, launch });
        faults.point('switch');
        switched = await gateway.switch({ ...place, revision: revision.number, expected: before?.content ?? null, restores: null, reason: null, by: revision.by });
        faults.point('switched');
      } catch (error) {
        // The runner cannot be asked: the intent stands, and the same operation goes on when it answers again.
        if (error instanceof CairnError && error.retryable) throw error;
        const detail = error instanceof Error ? error.message.slice(0, 1000) : null;
        await ledger.commit([outcomeStatement(asked, { state: 'failed', milliseconds: null, journal: null, detail }, signers)]);
        throw error;
      }
      await ledger.commit([outcomeStatement(asked, { state: 'live', milliseconds: switched.milliseconds, journal: switched.sequence, detail: null }, signers)]);
    }
    faults.point('confirm');
    if (!(await isHealthy(application, environment, content))) throw new CairnError('unhealthy', `revision ${revision.number} serves but fails its health check`, { fix: `cairn rollback ${environment}` });
    await ledger.commit([outcomeStatement(asked, { state: 'confirmed', milliseconds: null, journal: null, detail: null }, signers)]);
    await retireOld(application, environment);
    return {
      operation,
      revision: await revisionOf(operation),
      from: before?.release ?? null,
      switchedMs: switched?.milliseconds ?? null,
      preparedMs: prepared.milliseconds,
      healthy: prepared.healthy,
      warm: prepared.warm,
    };
  }

  async function rollback(request: RollbackRequest): Promise<Moved> {
    const { application, environment, operation } = request;
    authorize(await ledger.policy(), environment, 'rollback', request.by);
    return lock(application, environment).run(async () => {
      const known = await ledger.revisionOf(operation);
      if (known !== undefined) return unmoved(known);
      const timeline = await settled(application, environment);
      const again = await ledger.revisionOf(operation);
      if (again !== undefined) return unmoved(again);

      const { live, target } = returnTarget(timeline);
      const asked: Asked = { operation, application, environment, revision: timeline.head + 1, release: target.release, content: target.content };
      const document = await registry.document(application, target.release);
      const { decision, verdict } = await judge(asked, timeline, document, 'rollback');
      const restores = target.restores ?? target.number;
      if (!decision.passed) {
        await ledger.commit([rollbackRequest(asked, timeline, { ...request, restores }, target), verdict], timeline);
        throw refusal(asked, decision);
      }
      const place = { operation, application, environment, content: target.content, release: target.release };
      faults.point('switch');
      recorded.delete(`${environment}/${application}`);
      const { switched, prepared } = await switchBack({ ...place, revision: asked.revision, expected: live.content, restores, reason: request.reason, by: request.by }, target, document);
      faults.point('switched');
      const revision = await recordRollback(asked, timeline, { ...request, restores, journal: switched.sequence, milliseconds: switched.milliseconds }, target, verdict);
      recorded.add(`${environment}/${application}`);
      return { operation, revision, from: live.release, switchedMs: switched.milliseconds, preparedMs: prepared?.milliseconds ?? null, healthy: prepared?.healthy ?? 0, warm: prepared?.warm ?? true };
    });
  }

  /** The warm way: one call. Only where the content is not running any more is it started again first. */
  async function switchBack(request: Parameters<Gateway['switch']>[0], target: Revision, document: ReleaseDocument): Promise<{ switched: Switched; prepared: Prepared | undefined }> {
    const { application, environment, content } = request;
    const fresh = options.clock.elapsed() - (healthyAt.get(`${environment}/${application}/${content}`) ?? Number.NEGATIVE_INFINITY) < preflightMs;
    if (fresh) {
      // It may have died since it was looked at: the runner then switches nothing, and the way over a start is still open.
      const switched = await gateway.switch(request).catch((error: unknown) => {
        if (error instanceof CairnError && error.code === 'unhealthy') return undefined;
        throw error;
      });
      if (switched !== undefined) return { switched, prepared: undefined };
    }
    const healthy = await isHealthy(application, environment, content);
    const prepared = healthy ? undefined : await gateway.prepare({ ...request, launch: await launchOf(document, target, options.platform, registry) });
    return { switched: await gateway.switch(request), prepared };
  }

  /** Logs a rollback that the runner has already made durable: what was asked, the verdict, the intent, the outcome. */
  async function recordRollback(asked: Asked, timeline: Timeline, done: Done & { journal: number; milliseconds: number }, target: Revision, verdict: SignedStatement): Promise<Revision> {
    const { application, operation } = asked;
    const logged = await ledger.commit(
      [
        rollbackRequest(asked, timeline, done, target),
        verdict,
        intentStatement(asked, { from: timeline.live?.content ?? null, restores: done.restores }, signers),
        outcomeStatement(asked, { state: 'confirmed', milliseconds: done.milliseconds, journal: done.journal, detail: null }, signers),
      ],
      timeline,
    );
    for (const one of logged.slice(1, 2)) await registry.attach(application, one);
    return revisionOf(operation);
  }

  /** What was asked of the API by an authenticated person, put on record by the server. */
  function rollbackRequest(asked: Asked, timeline: Timeline, done: Done, target: Revision): SignedStatement {
    const { application, environment, operation, release } = asked;
    const predicate: Request = {
      action: 'rollback', application, environment, by: done.by, nonce: operation, head: timeline.head,
      configuration: target.configuration, secrets: target.secrets, restores: done.restores, reason: done.reason,
    };
    return sign(requestStatement(release, application, predicate), signers.record);
  }

  async function resume(signed: SignedStatement): Promise<void> {
    const { request, release } = readRequest(signed, 'resume', await ledger.policy());
    await lock(request.application, request.environment).run(async () => {
      const timeline = await ledger.timeline(request.application, request.environment);
      if (!timeline.quarantined.includes(release)) return;
      await ledger.commit([signed]);
    });
  }

  async function recover(): Promise<void> {
    for (const { application, environment } of await ledger.timelines()) {
      await lock(application, environment).run(() => settled(application, environment));
    }
  }

  /** Its answer is kept for the switch: what was healthy a moment ago need not be asked again in the middle of an incident. */
  async function isHealthy(application: string, environment: string, content: Digest): Promise<boolean> {
    const name = `${environment}/${application}/${content}`;
    const { healthy } = await gateway.probe({ application, environment, content }).catch(() => ({ healthy: false }));
    if (healthy) healthyAt.set(name, options.clock.elapsed());
    else healthyAt.delete(name);
    return healthy;
  }

  async function preflight(): Promise<void> {
    for (const timeline of await ledger.timelines()) {
      const { application, environment } = timeline;
      const way = wayBack(timeline);
      if (way === undefined) continue;
      const { target } = way;
      await registry.document(application, target.release);
      await isHealthy(application, environment, target.content);
    }
  }

  /** Switches that the runner made and no outcome tells of: a rollback whose record a crash cut off. Held by the place's lock. */
  async function recordJournal(application: string, environment: string): Promise<void> {
    const name = `${environment}/${application}`;
    if (recorded.has(name)) return;
    for (const line of await gateway.switches(await ledger.journalCursor(application, environment))) {
      if (line.application !== application || line.environment !== environment || line.restores === null) continue;
      if ((await ledger.revisionOf(line.operation)) === undefined) await recordSwitch(line, line.restores);
    }
    recorded.add(name);
  }

  async function recordSwitch(line: JournalledSwitch, restores: number): Promise<void> {
    const timeline = await ledger.timeline(line.application, line.environment);
    const target = timeline.revisions.find((one) => one.number === restores);
    if (target === undefined) throw new CairnError('storage', `the runner's journal line ${line.sequence} restores revision ${restores}, which the log does not have`, { fix: 'cairn verify' });
    const { operation, application, environment } = line;
    const asked: Asked = { operation, application, environment, revision: timeline.head + 1, release: target.release, content: target.content };
    const done = { application, environment, by: line.by ?? 'unknown', reason: line.reason, restores, journal: line.sequence, milliseconds: line.milliseconds };
    // Traffic has moved: what is left is to say so. The runner holds only ways back that were admitted when they were offered.
    const { verdict } = await judge(asked, timeline, await registry.document(application, target.release), 'rollback');
    await recordRollback(asked, timeline, done, target, verdict);
  }

  /** The timeline with nothing half-done in it: an interrupted revision is brought to its end first. */
  async function settled(application: string, environment: string): Promise<Timeline> {
    await recordJournal(application, environment);
    const timeline = await ledger.timeline(application, environment);
    const open = timeline.revisions.filter((one) => one.state === 'preparing' || one.state === 'live');
    for (const revision of open) {
      await finish(revision).catch((error: unknown) => {
        if (error instanceof CairnError && error.retryable) throw error;
      });
    }
    return open.length === 0 ? timeline : ledger.timeline(application, environment);
  }

  async function judge(asked: Asked, timeline: Timeline, document: ReleaseDocument, direction: 'promote' | 'rollback'): Promise<{ decision: Decision; verdict: SignedStatement }> {
    const policy = await ledger.policy();
    const evidence = await gatherEvidence({ ledger, verify: options.verify, document, release: asked.release, content: asked.content, timeline });
    const decision = decide(policy, evidence, { environment: asked.environment, direction });
    const { origin, version, clock } = options;
    return { decision, verdict: verdictStatement({ asked, direction, decision, policy, document, origin, version, clock, signers }) };
  }

  async function refuseAgain(operation: string): Promise<never> {
    const verdict = await ledger.verdictOf(operation);
    if (verdict === undefined) throw new CairnError('refused', 'this request was refused before', { fix: 'cairn status' });
    const rules = parsePredicate('verdict', verdict.statement)['https://cairn.internal/verdict/v1'];
    throw refusal(rules, { rules: rules.rules });
  }

  /** Only what runs and its way back stay up; older contents stay unpacked and are started again when they are wanted. */
  async function retireOld(application: string, environment: string): Promise<void> {
    const timeline = await ledger.timeline(application, environment);
    const keep = new Set(timeline.revisions.filter((one) => ['live', 'confirmed', 'standby'].includes(one.state)).map((one) => one.content));
    const retired = new Set(timeline.revisions.filter((one) => (one.state === 'retained' || one.state === 'reverted') && !keep.has(one.content)).map((one) => one.content));
    for (const content of retired) await gateway.retire({ application, environment, content });
  }

  async function revisionOf(operation: string): Promise<Revision> {
    const revision = await ledger.revisionOf(operation);
    if (revision === undefined) throw new CairnError('storage', 'the index lost a revision', { fix: 'cairn ledger rebuild' });
    return revision;
  }

  return { promote, rollback, resume, recover, preflight };
}

function readRequest(signed: SignedStatement, action: Request['action'], policy: Policy): { request: Request; release: Digest } {
  const statement = parseStatement(payloadOf(signed.envelope));
  const request = parsePredicate('request', statement);
  const [release] = subjectDigests(statement);
  if (request.action !== action || release === undefined || statement.subject.length !== 1) throw new CairnError('malformed-document', `the statement is no request to ${action} one release`);
  const person = personOf(policy, signed.key);
  if (person?.name !== request.by) throw new CairnError('unauthorized', `the request says it is by ${request.by}, its key says otherwise`, { fix: 'Sign with your own key' });
  authorize(policy, request.environment, 'promote', request.by);
  return { request, release };
}

function authorize(policy: Policy, environment: string, action: 'promote' | 'rollback', name: string): void {
  const role = environmentOf(policy, environment)[action];
  if (policy.people.find((one) => one.name === name)?.roles.includes(role) === true) return;
  throw new CairnError('unauthorized', `${name} may not ${action} in ${environment}`, { fix: `Ask someone with the role ${role}` });
}

function moved(timeline: Timeline, head: number): CairnError {
  return new CairnError('conflict', `${timeline.environment} has moved from revision ${head} to ${timeline.head} since you looked; nothing was switched`, { fix: 'cairn status, then decide again' });
}

function unmoved(revision: Revision): Moved {
  return { operation: revision.operation, revision, from: null, switchedMs: null, preparedMs: null, healthy: 0, warm: true };
}

function refusal(asked: Pick<Asked, 'application' | 'release' | 'environment'>, decision: Pick<Decision, 'rules'>): CairnError {
  const first = decision.rules.find((rule) => !rule.passed);
  return new CairnError('refused', `${asked.application} ${shortDigest(asked.release)} -> ${asked.environment}: ${first?.found ?? 'refused'}; nothing was changed`, {
    ...(first?.fix && { fix: first.fix }),
    context: { rules: decision.rules },
  });
}
