import { CairnError, type Clock, type Digest } from '#core';
import type { Counts, Limits, ListenOptions, Route, Tls } from './backend.ts';
import { openListener } from './listener.ts';
import { exposition } from './meter.ts';
import { Place } from './place.ts';

export interface Gateway {
  /** Opens the environment's listener; port 0 takes a free one. @throws CairnError `port-taken`, `invalid-configuration` for TLS */
  listen(environment: string, host: string, port: number, options?: ListenOptions): Promise<{ readonly port: number }>;
  /**
   * Synchronous and atomic, for all routes of the environment: a request that arrives after it returns never meets the former
   * table; those in flight finish where they are. What is not routed any more stays warm until `drain`.
   * @throws CairnError `invalid-configuration`, and then nothing changed
   */
  route(environment: string, routes: readonly Route[]): void;
  /** Of the content in all environments. */
  counts(content: Digest): Counts;
  /**
   * Waits until nothing is in flight on the content where it doesn't serve, at most `deadlineMs`, then closes its connections,
   * which cuts off what is still in flight; those for assets that it is still asked for stay. Where the content serves, or does so
   * meanwhile, nothing happens.
   */
  drain(content: Digest, deadlineMs: number): Promise<{ readonly inFlight: number; readonly milliseconds: number }>;
  /** Prometheus text: requests, errors and latency by environment, application, component and release. */
  metrics(): string;
  /** New certificates for connections to come; those that are open stay. @throws CairnError `invalid-configuration` */
  setTls(environment: string, tls: Tls): void;
  /** Stops accepting, lets what is in flight finish until the deadline, closes every connection. */
  close(deadlineMs: number): Promise<void>;
}

export interface GatewayOptions {
  readonly clock: Clock;
  readonly limits?: Partial<Limits>;
}

const defaults: Limits = { stallMs: 120_000, answerMs: 300_000, connections: 2_048, waiting: 4_096 };

export function createGateway({ clock, limits }: GatewayOptions): Gateway {
  const options = { clock, limits: { ...defaults, ...limits } };
  const places = new Map<string, Place>();

  function placeOf(environment: string): Place {
    let place = places.get(environment);
    if (place === undefined) places.set(environment, (place = new Place(environment, options)));
    return place;
  }

  return {
    async listen(environment, host, port, { tls } = {}) {
      const place = placeOf(environment);
      const secure = tls !== undefined;
      const listener = await openListener(environment, host, port, tls, {
        handle: (request, response, expects) => place.handle(secure, request, response, expects),
        wantsUpgrade: (request) => place.wantsUpgrade(secure, request),
        upgrade: (request, socket, head) => place.upgrade(secure, request, socket, head),
      });
      place.listeners.push(listener);
      return { port: listener.port };
    },

    route: (environment, routes) => placeOf(environment).route(routes),

    counts(content) {
      const sum = { requests: 0, responses: 0, errors: 0, inFlight: 0 };
      for (const place of places.values()) {
        for (const meter of place.meters()) {
          if (meter.backend.content !== content) continue;
          sum.requests += meter.requests;
          sum.responses += meter.responses;
          sum.errors += meter.errors;
          sum.inFlight += meter.inFlight;
        }
      }
      return sum;
    },

    async drain(content, deadlineMs) {
      const start = clock.elapsed();
      const leaving = [...places.values()].flatMap((place) => place.sidesOf(content).map((side) => ({ place, side, turns: side.turns }))).filter(({ place, side }) => !place.serves(side));
      await Promise.all(leaving.map(({ side }) => side.idle(deadlineMs)));
      let inFlight = 0;
      // Meanwhile it may serve again, or have served again: who came then has a deadline of their own.
      for (const { place, side, turns } of leaving) if (!place.serves(side) && side.turns === turns) inFlight += place.remove(side);
      return { inFlight, milliseconds: clock.elapsed() - start };
    },

    metrics: () => exposition([...places.values()].flatMap((place) => [...place.meters()].map((meter) => [place.environment, meter] as const))),

    setTls(environment, tls) {
      const listeners = places.get(environment)?.listeners ?? [];
      if (listeners.length === 0) throw new CairnError('invalid-configuration', `${environment} does not listen`, { fix: 'Start it first' });
      for (const listener of listeners) listener.setTls(tls);
    },

    async close(deadlineMs) {
      const all = [...places.values()];
      for (const place of all) place.closing = true;
      const listeners = all.flatMap((place) => place.listeners.splice(0)).map((listener) => ({ listener, closed: listener.close() }));
      await Promise.all(all.flatMap((place) => [...place.sides()]).map((side) => side.idle(deadlineMs)));
      for (const place of all) for (const side of place.sides()) place.remove(side);
      for (const { listener, closed } of listeners) {
        listener.cut();
        await closed;
      }
      places.clear();
    },
  };
}
