import { setTimeout as sleep } from 'node:timers/promises';
import { asCairnError, CairnError } from '#core';
import type { NoteKey } from '#log';
import { cosignedBy, postCheckpoint, Refused, type Cosigned, type Trouble } from './question.ts';
import { formatAddCheckpoint } from './request.ts';

/** As the policy names it. */
export interface WitnessEntry {
  readonly name: string;
  readonly url: string;
  readonly key: NoteKey;
}

export interface AskedLog {
  /** The newest one that is durable; undefined while the log is empty. */
  checkpoint(): Promise<{ readonly size: number; readonly note: string } | undefined>;
  consistency(from: number, to: number): Promise<readonly string[]>;
}

interface AskerOptions {
  readonly entry: WitnessEntry;
  readonly log: AskedLog;
  /** What it cosigned last, as it was kept. */
  readonly kept: Cosigned | undefined;
  readonly keep: (cosigned: Cosigned) => Promise<void>;
  readonly report: (error: CairnError) => void;
  readonly closing: AbortSignal;
}

const shortestPauseMs = 1_000;
const longestPauseMs = 60_000;
/** Between two answers: a log that writes all the time asks for what it has by then, not for each of its checkpoints. */
const breathMs = 100;

/** Keeps one witness up to date. Nobody waits for it but who asks to. */
export class Asker {
  readonly #options: AskerOptions;
  #cosigned: Cosigned | undefined;
  #trouble: Trouble | undefined;
  #running = false;
  #once: Promise<void> | undefined;
  /** What it says that it knows; a guess until it answers. */
  #known: number;
  #reported = '';
  #removed = false;
  /** Somebody nudged since the last question was begun. */
  #wanted = false;

  constructor(options: AskerOptions) {
    this.#options = options;
    this.#cosigned = options.kept;
    this.#known = options.kept?.size ?? 0;
  }

  get entry(): WitnessEntry {
    return this.#options.entry;
  }

  get cosigned(): Cosigned | undefined {
    return this.#cosigned;
  }

  get trouble(): Trouble | undefined {
    return this.#trouble;
  }

  /** There is, or may be, something newer to cosign. */
  nudge(): void {
    this.#wanted = true;
    if (this.#running) return;
    this.#running = true;
    void this.#untilNewest().finally(() => {
      this.#running = false;
      if (this.#wanted && !this.#ended) this.nudge();
    });
  }

  /** Asks now, whatever pause is kept; two who ask at one time are answered by one question. */
  ask(): Promise<void> {
    this.#once ??= this.#attempt().then(() => {}, () => {}).finally(() => {
      this.#once = undefined;
    });
    return this.#once;
  }

  /** The policy does not name it any more. */
  remove(): void {
    this.#removed = true;
  }

  get #ended(): boolean {
    return this.#removed || this.#options.closing.aborted;
  }

  async #untilNewest(): Promise<void> {
    let pause = shortestPauseMs;
    while (!this.#ended) {
      this.#wanted = false;
      const { again, waitMs } = await this.#attempt().then(
        (newest) => ({ again: !newest, waitMs: breathMs }),
        (error: unknown) => {
          const waits = error instanceof Refused ? error.waitMs : 0;
          return { again: true, waitMs: Math.max(pause, waits) };
        },
      );
      if (!again && !this.#wanted) return;
      pause = this.#trouble === undefined ? shortestPauseMs : Math.min(pause * 2, longestPauseMs);
      await sleep(waitMs, undefined, { signal: this.#options.closing, ref: false }).catch(() => {});
    }
  }

  /** @returns whether the newest checkpoint is cosigned */
  async #attempt(): Promise<boolean> {
    const { log, keep } = this.#options;
    try {
      const newest = await log.checkpoint();
      if (newest === undefined || newest.size === this.#cosigned?.size) return true;
      const cosigned = await this.#exchange(newest);
      // Two may ask at one time, one by the clock and one by need.
      if (cosigned.size >= (this.#cosigned?.size ?? 0)) {
        this.#cosigned = cosigned;
        await keep(cosigned);
      }
      this.#trouble = undefined;
      this.#reported = '';
      return (await log.checkpoint())?.size === cosigned.size;
    } catch (error) {
      this.#trouble = error instanceof Refused ? error.trouble : { state: 'unreachable', detail: asCairnError(error).message.slice(0, 1000) };
      throw error;
    }
  }

  async #exchange(checkpoint: { size: number; note: string }): Promise<Cosigned> {
    const { entry, log } = this.#options;
    // It says what it knows, we prove from there; once more where another of our questions was faster.
    for (let tries = 0; tries < 4; tries++) {
      const old = this.#known;
      if (old > checkpoint.size) throw this.#alarm('log-rewind', `${entry.name} has cosigned ${old} entries of this log, which has ${checkpoint.size}: this ledger is older than what others saw of it`);
      const proof = old > 0 && old < checkpoint.size ? await log.consistency(old, checkpoint.size) : [];
      const { status, text, waitMs } = await postCheckpoint(entry.url, formatAddCheckpoint(old, proof, checkpoint.note), this.#options.closing);
      if (status === 200) {
        this.#known = checkpoint.size;
        return cosignedBy(entry.key, checkpoint, text);
      }
      const [, size] = status === 409 ? (/^(0|[1-9][0-9]{0,15})\n?$/.exec(text) ?? []) : [];
      if (size !== undefined && Number(size) !== old) {
        this.#known = Number(size);
        if (Number(size) < (this.#cosigned?.size ?? 0)) this.#say('witness-rewind', `${entry.name} says that it knows ${size} entries, and has cosigned ${this.#cosigned?.size}: it was set back, as by an old backup`);
        continue;
      }
      if (size !== undefined) throw this.#alarm('log-fork', `${entry.name} has seen another tree of ${old} entries under this log's key`);
      if (status === 422) throw this.#alarm('log-rewrite', `${entry.name} refuses: the ${checkpoint.size} entries do not continue the ${old} that it has seen of this log`);
      if (status === 429) throw new Refused('throttled', `answered 429 (too many questions)${waitMs > 0 ? `, again in ${Math.ceil(waitMs / 1000)} s` : ''}`, waitMs);
      if (status === 404) throw new Refused('unreachable', 'does not know this log: its operator adds it with cairn witness --log');
      if (status === 403) throw new Refused('unreachable', 'does not trust the key that this log signs with now: its operator gives it the newest cairn.trust.json, cairn witness --log');
      throw new Refused('unreachable', `answered ${status}`, status === 503 ? waitMs : 0);
    }
    throw new Refused('unreachable', 'answers with another size each time');
  }

  /** Our own log is in question: told once, loudly, and again only when it changes. */
  #alarm(reason: string, what: string): Refused {
    this.#say(reason, what);
    return new Refused('unreachable', what);
  }

  #say(reason: string, what: string): void {
    if (this.#reported === what) return;
    this.#reported = what;
    this.#options.report(new CairnError('verification-failed', what, { context: { reason }, fix: 'Stop here and find out which of the two is true: cairn audit, cairn ledger evidence' }));
  }
}
