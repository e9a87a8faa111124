import { envelopeDigest, parsePredicate, parseStatement, payloadOf, subjectDigests } from '#attest';
import { CairnError } from '#core';
import { Engine, type DeliveryOptions } from './engine.ts';
import type { Moved } from './moved.ts';
import type { SignedStatement } from './ports.ts';
import { Promotion } from './promotion.ts';
import { readRequest, requireSigner } from './requests.ts';
import { Rollback, type Drill, type RollbackPlan, type RollbackRequest } from './rollback.ts';
import { Ways } from './ways.ts';

/** Moves releases between environments. Every method is safe to call again with the same input after a crash of either side. */
export interface Delivery {
  /** Answers when it is live; where it is watched, `settle` answers when it is confirmed. */
  promote(request: SignedStatement): Promise<Moved>;
  /** Answers when it is confirmed, or, still live, at the limit. @throws CairnError `reverted`, `unhealthy` */
  settle(operation: string, limitMs: number): Promise<Moved>;
  rollback(request: RollbackRequest): Promise<Moved>;
  plan(spot: { application: string; environment: string }): Promise<RollbackPlan>;
  drill(request: Omit<RollbackRequest, 'reason'>): Promise<Drill>;
  /** Percent of new clients that the live revision gets; the one before gets the others. */
  traffic(request: SignedStatement): Promise<void>;
  resume(request: SignedStatement): Promise<void>;
  /** Answers where the release runs now. */
  revoke(statement: SignedStatement): Promise<readonly { readonly environment: string; readonly revision: number }[]>;
  /** Ends what a crash interrupted, by the normal path. */
  recover(): Promise<void>;
  /** Checks every way back before it is needed: called every few seconds, so that a rollback has only to switch. */
  preflight(): Promise<void>;
  /** Runs with no timeline changing meanwhile. */
  quietly<T>(work: () => Promise<T>): Promise<T>;
}

export function delivery(options: DeliveryOptions): Delivery {
  const { ledger, gateway } = options;
  const engine = new Engine(options);
  const ways = new Ways(engine);
  const promotion = new Promotion(engine, ways);
  const rollback = new Rollback(engine, ways, promotion);

  async function traffic(signed: SignedStatement): Promise<void> {
    const { request, release } = readRequest(signed, 'traffic', await ledger.policy());
    const { application, environment, share } = request;
    await engine.lock(request).run(async () => {
      const { live, revisions } = await promotion.settled(request);
      if (live === undefined || share === undefined) throw new CairnError('nothing-to-return-to', `nothing of ${application} runs in ${environment}`, { fix: `cairn promote DIGEST ${environment}` });
      if (live.release !== release) throw new CairnError('conflict', `another release is live in ${environment} than you saw; nothing was changed`, { fix: 'cairn status, then decide again' });
      if (share < 100 && !revisions.some(({ state }) => state === 'standby')) throw new CairnError('conflict', `no revision is warm in ${environment} that could take the rest`, { fix: 'Share traffic while a promotion is under way: cairn promote DIGEST ENVIRONMENT --traffic 10' });
      await ledger.commit([signed]);
      await gateway.traffic({ operation: envelopeDigest(signed.envelope), application, environment, content: live.content, share });
    });
  }

  async function resume(signed: SignedStatement): Promise<void> {
    const { request, release } = readRequest(signed, 'resume', await ledger.policy());
    await engine.lock(request).run(async () => {
      const timeline = await ledger.timeline(request.application, request.environment);
      const held = timeline.revisions.some((one) => one.release === release && timeline.quarantined.includes(one.content));
      if (!timeline.quarantined.includes(release) && !held) return;
      await ledger.commit([signed]);
    });
  }

  async function revoke(signed: SignedStatement): Promise<{ environment: string; revision: number }[]> {
    const policy = await ledger.policy();
    const statement = parseStatement(payloadOf(signed.envelope));
    const { application, by } = parsePredicate('revocation', statement);
    const [release] = subjectDigests(statement);
    if (release === undefined || statement.subject.length !== 1) throw new CairnError('malformed-document', 'the statement revokes not just one release');
    requireSigner(signed, by, policy);
    const roles = policy.people.find(({ name }) => name === by)?.roles ?? [];
    if (!roles.includes('security') && !roles.includes('release')) throw new CairnError('unauthorized', `${by} may not revoke`, { fix: 'Ask someone with the role security or release' });
    await ledger.commit([signed]);
    const timelines = (await ledger.timelines()).filter((one) => one.application === application);
    // The runner's plans are made anew at once: a revert by itself must not go to it either.
    for (const timeline of timelines) await ways.offer(timeline).catch(() => {});
    return timelines.flatMap(({ environment, live }) => (live?.release === release ? [{ environment, revision: live.number }] : []));
  }

  async function recover(): Promise<void> {
    for (const { application, environment } of await ledger.timelines()) {
      const spot = { application, environment };
      await engine.lock(spot).run(async () => {
        const { live } = await promotion.settled(spot);
        const now = await gateway.live(spot);
        if (live !== undefined && now?.content === live.content && now.share !== live.share) {
          await gateway.traffic({ operation: `recover-${live.operation.slice(0, 60)}-${live.share}`, ...spot, content: live.content, share: live.share });
        }
      });
    }
  }

  async function quietly<T>(work: () => Promise<T>): Promise<T> {
    const spots = await ledger.timelines();
    const run = spots.reduce<() => Promise<T>>((inner, spot) => () => engine.lock(spot).run(inner), work);
    return run();
  }

  return {
    promote: (request) => promotion.promote(request),
    settle: (operation, limitMs) => promotion.settle(operation, limitMs),
    rollback: async (request) => {
      const moved = await rollback.rollback(request);
      // What was left is drained and stopped when it is safe; the caller need not wait for it.
      void engine.lock(request).run(async () => {
        await ways.offer(await ledger.timeline(request.application, request.environment));
      }).catch(() => {});
      return moved;
    },
    plan: (spot) => rollback.plan(spot),
    drill: (request) => rollback.drill(request),
    traffic,
    resume,
    revoke,
    recover,
    preflight: () => ways.look(),
    quietly,
  };
}

