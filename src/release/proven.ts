import { LRUCache } from 'lru-cache';
import { envelopeDigest, predicateTypes, subjectDigests, type Bundle } from '#attest';
import { asCairnError, digestOf, verificationFailed, type CairnError, type Digest } from '#core';
import { policyDigest, type EvidenceStatement, type Policy } from '#policy';
import { concerns, weighable } from './evidence.ts';
import type { ReleaseDocument } from './document.ts';
import { partsOf } from './facts.ts';
import { isOfRelease, weighForeign, type ForeignReader } from './foreign.ts';
import type { Ledger, Logged, Stored } from './ports.ts';
import { aboutComponents, aboutEither, aboutRelease } from './says.ts';

/** Verifies a bundle from its bytes. @throws CairnError `verification-failed` */
export type Verifier = (bundle: Bundle, key: string) => { readonly time: number };

export interface ProvenOptions {
  readonly ledger: Ledger;
  readonly verify: Verifier;
  readonly trust: () => Digest;
  readonly foreign: (policy: Policy) => Promise<ForeignReader>;
  /** Hears of what others signed and does not hold any more: it is left out, and nothing halts. */
  readonly report: (error: CairnError) => void;
}

interface Known {
  readonly weighs: readonly EvidenceStatement[];
  readonly subjects: readonly Digest[];
  /** Of body and key as they rested: where they rest otherwise today, nothing of this counts. */
  readonly bytes: Digest;
}

/** Of envelopes: bills of materials are the large ones, and each is kept at about its length. */
const mostBytes = 64 << 20;

/**
 * Statements that were verified in this process: signature, leaf, inclusion, and the first checkpoint that covers them, which never
 * changes. The bytes are read again each time and compared, so that an envelope that somebody removed or edited meanwhile halts the
 * decision; what is not done again is the arithmetic. Bounded, and forgotten when the trust changes.
 */
export class Proven {
  readonly #ledger: Ledger;
  readonly #verify: Verifier;
  readonly #trust: () => Digest;
  readonly #foreign: ProvenOptions['foreign'];
  readonly #complain: ProvenOptions['report'];
  readonly #known = new LRUCache<Digest, Known>({ maxSize: mostBytes });
  #under: Digest | undefined;

  constructor({ ledger, verify, trust, foreign, report }: ProvenOptions) {
    this.#foreign = foreign;
    this.#complain = report;
    this.#ledger = ledger;
    this.#verify = verify;
    this.#trust = trust;
  }

  /**
   * What the gate may weigh of a release, in log order. @throws CairnError `verification-failed`: one that fails halts it, it is not left out.
   * Only what others signed is: that it stands in the log is proven alike, what it holds may fail under the policy of today.
   */
  async about(release: Digest, document: ReleaseDocument, policy: Policy): Promise<EvidenceStatement[]> {
    const trust = this.#trust();
    if (this.#under !== trust) this.#known.clear();
    this.#under = trust;
    const rows = await this.#ledger.stored([...partsOf(release, document)], [...aboutRelease, ...aboutComponents, ...aboutEither, predicateTypes.foreign]);
    const under = policyDigest(policy);
    const found: EvidenceStatement[] = [];
    for (const row of rows) {
      const { weighs, subjects } = row.predicateType === predicateTypes.foreign ? await this.#proveForeign(row, policy, under) : await this.#prove(row);
      for (const one of weighs) if (row.predicateType === predicateTypes.foreign ? isOfRelease(one, release, document) : concerns(row.predicateType, subjects, release, document)) found.push(one);
    }
    return found.toSorted((a, b) => a.logIndex - b.logIndex);
  }

  /** Held to its own bytes, and to the keys and identities of the policy. */
  async #proveForeign(row: Stored, policy: Policy, under: Digest): Promise<Known> {
    const bytes = digestOf(`${row.key}\n${under}\n${row.body}`);
    const known = this.#known.get(row.digest);
    if (known?.bytes === bytes) return known;
    const { logged, time } = await this.#verified(row);
    const fresh: Known = { weighs: await this.#read(logged, time, policy), subjects: subjectDigests(logged.statement), bytes };
    this.#known.set(row.digest, fresh, { size: row.body.length + 1 });
    return fresh;
  }

  async #read(logged: Logged, time: number, policy: Policy): Promise<EvidenceStatement[]> {
    try {
      return [weighForeign(logged, time, await this.#foreign(policy))];
    } catch (thrown) {
      const error = asCairnError(thrown);
      if (error.code !== 'verification-failed' && error.code !== 'malformed-document') throw error;
      this.#complain(error);
      return [];
    }
  }

  async #prove(row: Stored): Promise<Known> {
    const bytes = digestOf(`${row.key}\n${row.body}`);
    const known = this.#known.get(row.digest);
    if (known?.bytes === bytes) return known;
    const { logged, time } = await this.#verified(row);
    const fresh: Known = { weighs: weighable(logged, time), subjects: subjectDigests(logged.statement), bytes };
    this.#known.set(row.digest, fresh, { size: row.body.length + 1 });
    return fresh;
  }

  async #verified(row: Stored): Promise<{ logged: Logged; time: number }> {
    const logged = await this.#ledger.logged(row.digest);
    const { time } = this.#verify(logged.bundle, logged.key);
    // It holds, for some statement: it must be the one that the log names at that place.
    if (envelopeDigest(logged.envelope) !== row.digest || logged.logIndex !== row.logIndex) {
      throw verificationFailed('envelope-altered', `log entry ${row.logIndex} is not the envelope that the log names`, { fix: 'cairn audit, then restore the ledger from a backup', context: { logIndex: row.logIndex } });
    }
    return { logged, time };
  }
}
