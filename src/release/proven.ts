import { LRUCache } from 'lru-cache';
import { envelopeDigest, subjectDigests, type Bundle } from '#attest';
import { digestOf, verificationFailed, type Digest } from '#core';
import type { EvidenceStatement } from '#policy';
import { concerns, weighable } from './evidence.ts';
import type { ReleaseDocument } from './document.ts';
import { componentsOf } from './facts.ts';
import type { Ledger, Stored } from './ports.ts';
import { aboutComponents, aboutEither, aboutRelease } from './says.ts';

/** Verifies a bundle from its bytes. @throws CairnError `verification-failed` */
export type Verifier = (bundle: Bundle, key: string) => { readonly time: number };

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
  readonly #known = new LRUCache<Digest, Known>({ maxSize: mostBytes });
  #under: Digest | undefined;

  constructor({ ledger, verify, trust }: { ledger: Ledger; verify: Verifier; trust: () => Digest }) {
    this.#ledger = ledger;
    this.#verify = verify;
    this.#trust = trust;
  }

  /** What the gate may weigh of a release, in log order. @throws CairnError `verification-failed`: one that fails halts it, it is not left out */
  async about(release: Digest, document: ReleaseDocument): Promise<EvidenceStatement[]> {
    const trust = this.#trust();
    if (this.#under !== trust) this.#known.clear();
    this.#under = trust;
    const rows = await this.#ledger.stored([release, ...componentsOf(document)], [...aboutRelease, ...aboutComponents, ...aboutEither]);
    const found: EvidenceStatement[] = [];
    for (const row of rows) {
      const { weighs, subjects } = await this.#prove(row);
      if (concerns(row.predicateType, subjects, release, document)) found.push(...weighs);
    }
    return found;
  }

  async #prove(row: Stored): Promise<Known> {
    const bytes = digestOf(`${row.key}\n${row.body}`);
    const known = this.#known.get(row.digest);
    if (known?.bytes === bytes) return known;
    const logged = await this.#ledger.logged(row.digest);
    const { time } = this.#verify(logged.bundle, logged.key);
    // It holds, for some statement: it must be the one that the log names at that place.
    if (envelopeDigest(logged.envelope) !== row.digest || logged.logIndex !== row.logIndex) {
      throw verificationFailed('envelope-altered', `log entry ${row.logIndex} is not the envelope that the log names`, { fix: 'cairn audit, then restore the ledger from a backup', context: { logIndex: row.logIndex } });
    }
    const fresh: Known = { weighs: weighable(logged, time), subjects: subjectDigests(logged.statement), bytes };
    this.#known.set(row.digest, fresh, { size: row.body.length + 1 });
    return fresh;
  }
}
