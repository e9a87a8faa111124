import { envelopeDigest } from '#attest';
import { CairnError } from '#core';
import type { Person } from '#policy';
import { requireWriter } from './authority.ts';
import { Engine, type DeliveryOptions } from './engine.ts';
import { Governance, type GlassBroken } from './governance.ts';
import { recordJournal } from './journal.ts';
import type { Moved } from './moved.ts';
import type { SignedStatement } from './ports.ts';
import { Promotion } from './promotion.ts';
import { readRequest } from './requests.ts';
import { revoke } from './revocations.ts';
import { Rollback, type Drill, type RollbackPlan, type RollbackRequest } from './rollback.ts';
import type { Touched } from './touched.ts';
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
  /** Of a release, a key or a package. Answers what runs and is touched by it, and where each could go back to. */
  revoke(statement: SignedStatement): Promise<readonly Touched[]>;
  breakGlass(statement: SignedStatement): Promise<GlassBroken>;
  /** Accounts for what a break-glass left. */
  settleDebt(statement: SignedStatement): Promise<void>;
  /** Takes an incident on, or ends it. */
  resolve(statement: SignedStatement): Promise<void>;
  /** Who signed, if that key may write now. @throws CairnError `unauthorized` */
  requireWriter(signed: SignedStatement): Promise<Person>;
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
  const governance = new Governance(engine);

  async function traffic(signed: SignedStatement): Promise<void> {
    const { request, release } = readRequest(signed, 'traffic', await engine.authority());
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
    const { request, release } = readRequest(signed, 'resume', await engine.authority());
    await engine.lock(request).run(async () => {
      // A rollback that a full disk kept out of the log holds its release as any other does, and would come up only after this.
      await recordJournal(engine, request).catch((error: unknown) => {
        if (!(error instanceof CairnError) || !error.retryable) throw error;
      });
      const timeline = await ledger.timeline(request.application, request.environment);
      const held = timeline.revisions.some((one) => one.release === release && timeline.quarantined.includes(one.content));
      if (!timeline.quarantined.includes(release) && !held) return;
      await ledger.commit([signed]);
    });
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
    revoke: (statement) => revoke(engine, ways, statement),
    breakGlass: (statement) => governance.breakGlass(statement),
    settleDebt: (statement) => governance.settle(statement),
    resolve: (statement) => governance.resolve(statement),
    requireWriter: async (signed) => requireWriter(signed, await engine.authority()),
    recover,
    preflight: () => ways.look(),
    quietly,
  };
}

