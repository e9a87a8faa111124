import { createPublicKey, type KeyObject } from 'node:crypto';
import { predicateTypes, verifyEnvelope, type Envelope } from '#attest';
import { CairnError, canonicalJson, type Faults } from '#core';
import type { OpenLedger } from '#ledger';
import { isSignedBy, noteKey, algorithms, parseNote, type LogVerifier } from '#log';
import type { SignedStatement } from '#release';
import { spkiOf, type Signer } from '#sign';
import { currentTrust, verifierOf, type Trust, type TrustFile } from '#verify';

/** Where the log's next key is kept. */
export interface NextLogKey {
  /** The one that was made and not used yet. */
  find(): Promise<Signer | undefined>;
  /** The same, or a new one: durable when it returns. */
  make(): Promise<Signer>;
  /** It takes the place of the log's key. Done again after a crash, it is the same. */
  adopt(key: Signer): Promise<void>;
}

export interface LogTrustOptions {
  readonly ledger: OpenLedger;
  readonly genesis: Trust;
  readonly next: NextLogKey;
  readonly faults: Faults;
  /** The chain has grown, or was read at the start. */
  readonly changed: (file: TrustFile) => Promise<void>;
}

/**
 * The chain of trust as the log holds it, and the change of the log's key. The order of a change, each step durable before the next:
 * the next key is made; the new version of trust is signed, on its owner's machine, for a size of the log; both are one transaction,
 * whose checkpoint the next key signs; the key file is renamed. The newest checkpoint says which key is the log's, so that a crash
 * before the transaction changes nothing, and one after it is ended at the next start.
 */
export class LogTrust {
  readonly #options: LogTrustOptions;
  #file: TrustFile;
  #verifier: LogVerifier;

  private constructor(options: LogTrustOptions, file: TrustFile) {
    this.#options = options;
    this.#file = file;
    this.#verifier = verifierOf(currentTrust(file));
  }

  static async open(options: LogTrustOptions): Promise<LogTrust> {
    const { ledger, genesis, next } = options;
    const [newest, key] = [await ledger.checkpoint(), await next.find()];
    const signed = (by: KeyObject) => newest === undefined || isSignedBy(parseNote(newest.note), [noteKey(genesis.origin, algorithms.ed25519, by)]);
    if (newest !== undefined && key !== undefined && signed(key.publicKey)) {
      ledger.useLogKey(key);
      await next.adopt(key);
    }
    // What we would sign now, everybody would refuse: this key speaks for other sizes than those that this ledger is at.
    if (!signed(ledger.logKey())) throw new CairnError('storage', "the newest checkpoint is not signed by the log's key: ledger and keys are of different times", { fix: 'Restore both from one backup: cairn restore' });
    const file = await chainOf(ledger, genesis);
    await options.changed(file);
    return new LogTrust(options, file);
  }

  file(): TrustFile {
    return this.#file;
  }

  verifier(): LogVerifier {
    return this.#verifier;
  }

  /** What a new version of trust is to say: the next key, and the size at which the one before it stops. */
  async prepare(): Promise<{ key: string; size: number }> {
    const key = await this.#options.next.make();
    return { key: spkiOf(key.publicKey).toString('base64'), size: (await this.#options.ledger.checkpoint())?.size ?? 0 };
  }

  /** @throws CairnError `conflict` where the log has grown (`context.size`), `verification-failed` where the chain does not hold */
  async rotate(envelopes: readonly Envelope[]): Promise<Trust> {
    const { ledger, next, faults, changed } = this.#options;
    const before = currentTrust(this.#file);
    const file = { genesis: this.#file.genesis, rotations: [...this.#file.rotations, envelopes] };
    const trust = currentTrust(file);
    const key = await next.find();
    const retired = trust.former?.at(-1);
    if (key === undefined || retired === undefined || trust.keys.log !== spkiOf(key.publicKey).toString('base64')) {
      throw new CairnError('refused', 'this version of trust does not give the log its next key', { fix: 'cairn key rotate log' });
    }
    if (!sameBesidesLogKey(before, trust)) throw new CairnError('refused', "this version of trust changes more than the log's key", { fix: 'cairn key rotate log' });
    const signers = [...before.rotation.keys, ...(before.recovery === null ? [] : [before.recovery])];
    faults.point('rotate');
    await ledger.rotate(envelopes.map((envelope) => signedBy(envelope, signers)), retired.size, key);
    faults.point('rotate logged');
    this.#file = file;
    this.#verifier = verifierOf(trust);
    await next.adopt(key);
    faults.point('rotate adopted');
    await changed(file);
    return trust;
  }
}

/** The server keeps no other key of its own by it, and nobody's rights: those are changed by other means. */
function sameBesidesLogKey(before: Trust, after: Trust): boolean {
  const rest = (trust: Trust) => canonicalJson({ ...trust, version: 0, former: [], keys: { ...trust.keys, log: '' } }).toString('utf8');
  return rest(before) === rest(after);
}

function signedBy(envelope: Envelope, keys: readonly string[]): SignedStatement {
  const key = keys.find((one) => verifyEnvelope(envelope, createPublicKey({ key: Buffer.from(one, 'base64'), format: 'der', type: 'spki' })));
  if (key === undefined) throw new CairnError('unauthorized', 'a version of trust is signed by a key that may not sign it', { fix: 'Sign with a rotation key, or with the recovery key' });
  return { envelope, key };
}

/** Every version that the log holds and that the one before it lets through; those with several signatures are several statements. */
async function chainOf(ledger: OpenLedger, genesis: Trust): Promise<TrustFile> {
  const rotations: Envelope[][] = [];
  for (const { envelope } of await ledger.ofType(predicateTypes.trust)) {
    const last = rotations.at(-1);
    if (last?.[0]?.payload === envelope.payload) last.push(envelope);
    else rotations.push([envelope]);
  }
  const held: Envelope[][] = [];
  for (const group of rotations) {
    try {
      currentTrust({ genesis, rotations: [...held, group] });
      held.push(group);
    } catch (error) {
      // The first one is the genesis itself, which follows nothing.
      if (!(error instanceof CairnError)) throw error;
    }
  }
  return { genesis, rotations: held };
}
