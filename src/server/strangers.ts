import type { Clock } from '#core';

// What anybody may log without being asked who they are. Their entries count for nothing and stay for good, so there is an end to them:
// they are never why the disk is full, nor why a statement that counts waits.

/** One request: cosign's longest, with a certificate, has some four thousand bytes. */
export const mostRequestBytes = 32 << 10;
/** Entries of one day, about a hundred megabytes. The bucket fills evenly, and may be emptied at once. */
export const dayShare = 100_000;
/** Requests of one second, also those that are refused: each costs a signature check. */
export const mostPerSecond = 4_000;
/** Entries that wait for the disk at one time. */
const mostWaiting = 512;

const day = 86_400_000;

/** A bucket of tokens that refills evenly. Times are elapsed milliseconds, which a clock that is set does not move. */
class Bucket {
  readonly #clock: Clock;
  readonly #size: number;
  readonly #periodMs: number;
  #level: number;
  #at: number;

  constructor(clock: Clock, size: number, periodMs: number, level = size) {
    this.#clock = clock;
    this.#size = size;
    this.#periodMs = periodMs;
    this.#level = Math.max(level, 0);
    this.#at = clock.elapsed();
  }

  /** Milliseconds until there is one token; 0 where there is. */
  wait(): number {
    const now = this.#clock.elapsed();
    this.#level = Math.min(this.#size, this.#level + ((now - this.#at) / this.#periodMs) * this.#size);
    this.#at = now;
    return this.#level >= 1 ? 0 : ((1 - this.#level) / this.#size) * this.#periodMs;
  }

  take(): void {
    this.#level--;
  }
}

export class Strangers {
  readonly #requests: Bucket;
  readonly #entries: Bucket;
  readonly #waiting: () => number;

  /** `today`: how many entries of others the log took in the last day, so that a restart forgets nothing. */
  constructor(clock: Clock, today: number, waiting: () => number) {
    this.#requests = new Bucket(clock, mostPerSecond, 1000);
    this.#entries = new Bucket(clock, dayShare, day, dayShare - today);
    this.#waiting = waiting;
  }

  /** Whole seconds after which a request may be made again; 0: now. A request that may is counted. */
  ask(): number {
    const wait = Math.max(this.#requests.wait(), this.#entries.wait(), this.#waiting() >= mostWaiting ? 1000 : 0);
    if (wait === 0) this.#requests.take();
    return Math.ceil(wait / 1000);
  }

  /** An entry was added. One that was there before costs nothing. */
  added(): void {
    this.#entries.take();
  }
}
