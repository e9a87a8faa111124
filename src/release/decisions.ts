import { LRUCache } from 'lru-cache';
import { evidenceSetDigest, type Facts } from '#attest';
import { canonicalJson, CairnError, digestOf, type Clock, type Digest } from '#core';
import { decide, policyDigest, type Decision, type Evidence, type EvidenceStatement, type Policy } from '#policy';
import type { ReleaseDocument } from './document.ts';
import { gatherFacts, type LoggedFacts } from './facts.ts';
import { isQuarantined } from './plan.ts';
import type { Ledger, Timeline, Witnesses } from './ports.ts';
import { Proven, type ProvenOptions } from './proven.ts';
import { witnessFacts } from './witnessed.ts';

export interface Asking {
  readonly release: Digest;
  readonly content: Digest;
  readonly environment: string;
  readonly direction: 'promote' | 'rollback';
  /** Name of the person who asks. */
  readonly by: string;
  readonly timeline: Timeline;
  readonly document: ReleaseDocument;
  readonly schema: Facts['schema'];
  /** What could not be asked. */
  readonly sources?: Facts['sources'];
}

export interface Decided {
  readonly decision: Decision;
  readonly evidence: Evidence;
  readonly policy: Policy;
  /** Seconds since 1970, by the log: never before its newest checkpoint. */
  readonly time: number;
  /** Of the log that was read. */
  readonly size: number;
  readonly cached: boolean;
}

interface Gathered {
  readonly facts: LoggedFacts;
  readonly statements: readonly EvidenceStatement[];
  readonly set: Digest;
}

interface Standing {
  readonly size: number;
  readonly policy: Policy;
  readonly digest: Digest;
}

interface Kept {
  readonly decision: Decision;
  readonly since: number;
}

const mostDecisions = 10_000;
const mostGathered = 1000;
/** A log that grows while evidence is gathered: it is gathered again, so often. */
const mostTries = 20;

/**
 * The gate with a memory. A decision is a function of policy, evidence and question (policy/decide.ts); it is kept under the digests of
 * all three, the trust that the evidence was proven under and the size of the log, and holds while time alone can change nothing
 * (`validUntil`). Refusals are kept as admissions are. Nothing of it is ever the truth: emptied, it answers the same.
 */
export class Decisions {
  readonly #ledger: Ledger;
  readonly #clock: Clock;
  readonly #trust: () => Digest;
  readonly #proven: Proven;
  readonly #witnesses: Witnesses | undefined;
  readonly #decided = new LRUCache<string, Kept>({ max: mostDecisions });
  readonly #gathered = new LRUCache<string, Gathered>({ max: mostGathered });
  #standing: Standing | undefined;

  constructor(options: ProvenOptions & { clock: Clock; witnesses?: Witnesses | undefined }) {
    this.#ledger = options.ledger;
    this.#clock = options.clock;
    this.#trust = options.trust;
    this.#proven = new Proven(options);
    this.#witnesses = options.witnesses;
  }

  /**
   * `fresh`: evidence is read from the ledger again though the log has not grown, as every move does, so that an envelope that is gone or
   * edited is noticed. Looks that only plan ahead go by what was read at this size of the log. @throws CairnError `verification-failed`
   */
  async decide(asking: Asking, { fresh = false }: { fresh?: boolean } = {}): Promise<Decided> {
    const trust = this.#trust();
    const { witnessed, sources, ...standing } = await this.#witnessed(asking, trust, fresh);
    const { size, logged, policy, digest, gathered } = standing;
    const time = Math.max(Math.floor(this.#clock.now().getTime() / 1000), logged);
    const { schema, environment, direction, by } = asking;
    const facts: Facts = { ...gathered.facts, witnessed, sources: [...sources, ...(asking.sources ?? [])], schema };
    const key = JSON.stringify([asking.release, asking.content, environment, direction, by, digest, trust, gathered.set, digestOf(canonicalJson(facts)), size]);
    const evidence: Evidence = { ...facts, statements: gathered.statements };
    const kept = this.#decided.get(key);
    if (kept !== undefined && kept.since <= time && (kept.decision.validUntil === null || time < kept.decision.validUntil)) return { decision: kept.decision, evidence, policy, time, size, cached: true };
    const decision = decide(policy, evidence, { environment, direction, by, time });
    this.#decided.set(key, { decision, since: time });
    return { decision, evidence, policy, time, size, cached: false };
  }

  /** What the gate may weigh of a release, proven. */
  async statements(release: Digest, document: ReleaseDocument): Promise<readonly EvidenceStatement[]> {
    return this.#proven.about(release, document, await this.#ledger.policy());
  }

  /** How many decisions are kept. */
  get size(): number {
    return this.#decided.size;
  }

  /** After a revocation: what was decided before it is not even there to be found. */
  clear(): void {
    this.#decided.clear();
    this.#gathered.clear();
    this.#standing = undefined;
  }

  /** With what the witnesses say. Waiting for them takes time: what was logged meanwhile, a revocation above all, is read before anything is decided. */
  async #witnessed(asking: Asking, trust: Digest, fresh: boolean): Promise<Standing & { logged: number; gathered: Gathered } & Pick<Facts, 'witnessed' | 'sources'>> {
    const { environment, direction } = asking;
    const seenOf = ({ policy, gathered }: Standing & { gathered: Gathered }, patient: boolean) =>
      witnessFacts(this.#witnesses, { policy, environment, direction, newest: Math.max(-1, ...gathered.statements.map(({ logIndex }) => logIndex)), patient });
    const standing = await this.#standingFor(asking, trust, fresh);
    const seen = await seenOf(standing, fresh);
    if (!fresh || this.#witnesses === undefined || (await this.#ledger.newest()).size === standing.size) return { ...standing, ...seen };
    const { application, environment: place } = asking.timeline;
    const again = await this.#standingFor({ ...asking, timeline: await this.#ledger.timeline(application, place) }, trust, true);
    return { ...again, ...(await seenOf(again, false)) };
  }

  /** Policy and evidence of one size of the log: where it grew while they were read, they are read again. */
  async #standingFor(asking: Asking, trust: Digest, fresh: boolean): Promise<Standing & { logged: number; gathered: Gathered }> {
    const { timeline, release, content, document } = asking;
    let { size, time: logged } = await this.#ledger.newest();
    const keyAt = () => JSON.stringify([size, trust, document.application, timeline.environment, release, content, isQuarantined(timeline, asking)]);
    const known = fresh ? undefined : this.#gathered.get(keyAt());
    if (known !== undefined && this.#standing?.size === size) return { ...this.#standing, logged, gathered: known };
    for (let tries = 0; tries < mostTries; tries++) {
      const policy = this.#standing?.size === size ? this.#standing.policy : await this.#ledger.policy();
      const statements = await this.#proven.about(release, document, policy);
      const facts = await gatherFacts({ ledger: this.#ledger, document, release, content, timeline, statements });
      const after = await this.#ledger.newest();
      if (after.size === size) {
        const standing = this.#standing?.size === size ? this.#standing : { size, policy, digest: policyDigest(policy) };
        const gathered = { facts, statements, set: evidenceSetDigest(statements.map(({ envelope }) => envelope)) };
        this.#standing = standing;
        this.#gathered.set(keyAt(), gathered);
        return { ...standing, logged, gathered };
      }
      ({ size, time: logged } = after);
    }
    throw new CairnError('conflict', 'the log grew all the time while evidence was read; nothing was decided', { fix: 'Ask again', retryable: true });
  }
}
