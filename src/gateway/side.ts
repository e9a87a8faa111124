import type { Clock } from '#core';
import type { Backend, Limits } from './backend.ts';
import type { Meter } from './meter.ts';
import { Origin } from './origin.ts';

/** A request on a side, as the side sees it. */
export interface Guest {
  /** Its place in the side's list; -1: in none. */
  place: number;
  /** It came for an asset that the side in charge lacks. */
  readonly borrows: boolean;
  /** The deadline has passed. */
  cut(): void;
}

/** One component of one content in one environment. It outlives its route, since what is in flight finishes here. */
export class Side {
  backend: Backend;
  readonly meter: Meter;
  /** How often it began to serve. */
  turns = 0;
  readonly #clock: Clock;
  readonly #limits: Limits;
  /** Not a Set: one that thousands enter and leave each second leaves a chain of outgrown tables for the collector. */
  readonly #guests: Guest[] = [];
  #origins: Origin[] = [];
  #turn = 0;
  #waiting: (() => void)[] = [];

  constructor(backend: Backend, meter: Meter, clock: Clock, limits: Limits) {
    this.backend = { ...backend, origins: [] };
    this.meter = meter;
    this.#clock = clock;
    this.#limits = limits;
    this.reroute(backend);
  }

  /** Other instances of the same content: connections to those that stay are kept, the others close when they are done. */
  reroute(backend: Backend): void {
    this.meter.backend = backend;
    const former = new Map(this.backend.origins.map((url, at) => [url, this.#origins[at]]));
    this.backend = backend;
    this.#origins = backend.origins.map((url) => former.get(url) ?? new Origin(url, this.#clock, this.#limits));
    for (const [url, origin] of former) if (!backend.origins.includes(url)) origin?.close();
  }

  get instances(): number {
    return this.#origins.length;
  }

  /** In turn. */
  next(): Origin | undefined {
    if (++this.#turn >= this.#origins.length) this.#turn = 0;
    return this.#origins[this.#turn];
  }

  enter(guest: Guest): void {
    this.meter.requests++;
    this.meter.inFlight++;
    guest.place = this.#guests.push(guest) - 1;
  }

  leave(guest: Guest): void {
    const { place } = guest;
    if (this.#guests[place] !== guest) return;
    // The last one takes its place.
    const last = this.#guests.pop() as Guest;
    if (last !== guest) this.#guests[(last.place = place)] = last;
    guest.place = -1;
    this.meter.inFlight--;
    if (this.#guests.length > 0 || this.#waiting.length === 0) return;
    for (const resume of this.#waiting.splice(0)) resume();
  }

  /** Resolves when nothing is in flight or the deadline has passed. */
  async idle(deadlineMs: number): Promise<void> {
    if (this.#guests.length === 0) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, deadlineMs);
      this.#waiting.push(() => {
        clearTimeout(timer);
        resolve();
      });
    });
  }

  /** Cuts off what came to stay and still is in flight, and says how much that was. */
  cut(guests = this.#guests.filter(({ borrows }) => !borrows)): number {
    const left = [...guests];
    for (const guest of left) {
      guest.cut();
      this.leave(guest);
    }
    return left.length;
  }

  /** Cuts off all. */
  close(): number {
    const left = this.cut(this.#guests);
    for (const origin of this.#origins.splice(0)) origin.close();
    this.backend = { ...this.backend, origins: [] };
    return left;
  }
}
