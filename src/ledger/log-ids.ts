import { createPublicKey, type KeyObject } from 'node:crypto';
import { parseEnvelope, parseStatement, payloadOf, predicateTypes } from '#attest';
import { CairnError } from '#core';
import { logIdOf, type LogKeys } from '#log';
import { noteSigner } from './note-time.ts';
import type { Database } from './schema.ts';

/** The ids by which entries name this log: one for each key that it has or had, found by the few bytes of it that a checkpoint carries. */
export class LogIds {
  readonly #origin: string;
  readonly #ids = new Map<string, string>();

  private constructor(origin: string) {
    this.#origin = origin;
  }

  /** The log itself says which keys it had: every version of trust is logged. Nobody believes it for that: a checkpoint is verified with the trust file. */
  static async read(database: Database, { origin, log }: LogKeys): Promise<LogIds> {
    const ids = new LogIds(origin);
    ids.add(log.publicKey);
    const rows = await database.selectFrom('statements').innerJoin('envelopes', 'envelopes.digest', 'statements.digest').select('body').where('predicate_type', '=', predicateTypes.trust).execute();
    for (const { body } of rows) {
      const { predicate } = parseStatement(payloadOf(parseEnvelope(JSON.parse(body))));
      const key = (predicate as { readonly keys?: { readonly log?: string } }).keys?.log;
      if (key !== undefined) ids.#addText(key);
    }
    return ids;
  }

  add(key: KeyObject): void {
    const id = logIdOf(this.#origin, key);
    this.#ids.set(id.subarray(0, 4).toString('hex'), id.toString('base64'));
  }

  /** What is no key signed no checkpoint either. */
  #addText(spki: string): void {
    let key: KeyObject;
    try {
      key = createPublicKey({ key: Buffer.from(spki, 'base64'), format: 'der', type: 'spki' });
    } catch {
      return;
    }
    if (key.asymmetricKeyType === 'ed25519') this.add(key);
  }

  /** @throws CairnError `storage` */
  of(note: string): string {
    const id = this.#ids.get(noteSigner(note, this.#origin));
    if (id === undefined) throw new CairnError('storage', 'a stored checkpoint is signed by a key that the log never had', { fix: 'cairn audit' });
    return id;
  }
}
