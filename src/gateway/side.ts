import { Pool } from 'undici';
import type { Backend } from './backend.ts';

/** Connections to one instance. Past it requests wait in line, so that a stuck application can't take every descriptor we have. */
const connections = 256;

/** One content in one environment: its connections, counted. It outlives the route, since those in flight finish here. */
export class Side {
  backend: Backend;
  readonly counts = { requests: 0, responses: 0, errors: 0, inFlight: 0 };
  #pools = new Map<string, Pool>();
  #turns: Pool[] = [];
  #turn = 0;
  #waiting: (() => void)[] = [];

  constructor(backend: Backend) {
    this.backend = backend;
    this.reroute(backend);
  }

  /** Other instances of the same content: connections to those that stay are kept, the others close when they are done. */
  reroute(backend: Backend): void {
    const pools = new Map<string, Pool>();
    for (const origin of backend.origins) pools.set(origin, this.#pools.get(origin) ?? openPool(origin));
    for (const [origin, pool] of this.#pools) if (!pools.has(origin)) pool.close().catch(() => {});
    this.backend = backend;
    this.#pools = pools;
    this.#turns = [...pools.values()];
  }

  /** Round robin. */
  next(): Pool | undefined {
    if (this.#turns.length === 0) return undefined;
    this.#turn = (this.#turn + 1) % this.#turns.length;
    return this.#turns[this.#turn];
  }

  enter(): void {
    this.counts.requests++;
    this.counts.inFlight++;
  }

  leave(): void {
    if (--this.counts.inFlight > 0 || this.#waiting.length === 0) return;
    for (const resume of this.#waiting.splice(0)) resume();
  }

  /** Resolves when nothing is in flight or the deadline has passed. */
  async idle(deadlineMs: number): Promise<void> {
    if (this.counts.inFlight === 0) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, deadlineMs);
      this.#waiting.push(() => {
        clearTimeout(timer);
        resolve();
      });
    });
  }

  /** Whatever still is in flight is cut off. */
  async close(): Promise<void> {
    const pools = this.#turns;
    this.#pools = new Map();
    this.#turns = [];
    await Promise.all(pools.map((pool) => pool.destroy()));
  }
}

function openPool(origin: string): Pool {
  // No limit between two pieces of a body: an event stream may be silent for hours and is cut at the drain deadline instead.
  return new Pool(origin, { connections, pipelining: 1, bodyTimeout: 0, connectTimeout: 5_000, allowH2: false });
}
