import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { CairnError, type Clock, type Digest } from '#core';
import { answerError } from './answer.ts';
import { Exchange } from './exchange.ts';
import { forwardedRequest } from './headers.ts';
import type { Counts, ListenOptions, Route, Tls } from './backend.ts';
import { Side } from './side.ts';
import { clientOf, cookieOf, newClient, pointOf } from './sticky.ts';
import { find, tableOf, type Entry, type Table } from './table.ts';

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
   * Waits until nothing is in flight on the content where it isn't routed to, at most `deadlineMs`, then closes its connections,
   * which cuts off what is still in flight. Where the content is routed to, or becomes so meanwhile, nothing happens.
   */
  drain(content: Digest, deadlineMs: number): Promise<{ readonly inFlight: number; readonly milliseconds: number }>;
  /** Prometheus text: requests, errors and latency by environment, application, component and release. */
  metrics(): string;
  /** New certificates for connections to come; those that are open stay. @throws CairnError `invalid-configuration` */
  setTls(environment: string, tls: Tls): void;
  /** Stops accepting, lets what is in flight finish until the deadline, closes every connection. */
  close(deadlineMs: number): Promise<void>;
}

/** One environment. */
interface Place {
  table: Table;
  /** By application, component and content: those routed to, and those that were and are not drained yet. */
  readonly sides: Map<string, Side>;
}

/** Longer than the idle time of the usual load balancers, so that it is them who close, never we under their next request. */
const keepAliveMs = 65_000;

export function createGateway({ clock }: { readonly clock: Clock }): Gateway {
  const places = new Map<string, Place>();
  const servers: Server[] = [];
  let closing = false;

  function placeOf(environment: string): Place {
    let place = places.get(environment);
    if (place === undefined) places.set(environment, (place = { table: [], sides: new Map() }));
    return place;
  }

  function handle(environment: string, place: Place, request: IncomingMessage, response: ServerResponse): void {
    if (closing) response.shouldKeepAlive = false;
    const forwarded = forwardedRequest(request);
    if (forwarded === undefined) {
      answerError(response, { status: 400, code: 'usage', message: 'the request target or its Host header is not understood' });
      return;
    }
    const entry = find(place.table, request.headers.host, forwarded.path);
    if (entry === undefined) {
      const message = `nothing is live in ${environment}`;
      answerError(response, { status: 503, code: 'not-found', message, fix: `Promote a release: cairn promote DIGEST ${environment}` });
      return;
    }
    const { side, cookie } = pick(entry, request.headers.cookie);
    new Exchange(side, request, response, forwarded, cookie).send();
  }

  function routed({ table }: Place, side: Side): boolean {
    return table.some(({ shares, assets }) => assets === side || shares.some((share) => share.side === side));
  }

  function* sidesOf(content: Digest): Generator<[Place, Side]> {
    for (const place of places.values()) {
      for (const side of place.sides.values()) if (side.backend.content === content) yield [place, side];
    }
  }

  return {
    async listen(environment, host, port) {
      const place = placeOf(environment);
      const server = createServer({ keepAliveTimeout: keepAliveMs }, (request, response) => handle(environment, place, request, response));
      await listening(server, host, port, environment);
      servers.push(server);
      return { port: (server.address() as AddressInfo).port };
    },

    route(environment, routes) {
      const place = placeOf(environment);
      place.table = tableOf(routes, (backend) => {
        const key = `${backend.application}/${backend.component}/${backend.content}`;
        let side = place.sides.get(key);
        if (side === undefined) place.sides.set(key, (side = new Side(backend)));
        else side.reroute(backend);
        return side;
      });
    },

    counts(content) {
      const sum = { requests: 0, responses: 0, errors: 0, inFlight: 0 };
      for (const [, { counts }] of sidesOf(content)) {
        sum.requests += counts.requests;
        sum.responses += counts.responses;
        sum.errors += counts.errors;
        sum.inFlight += counts.inFlight;
      }
      return sum;
    },

    async drain(content, deadlineMs) {
      const start = clock.elapsed();
      const drained = [...sidesOf(content)].filter(([place, side]) => !routed(place, side));
      await Promise.all(drained.map(([, side]) => side.idle(deadlineMs)));
      let inFlight = 0;
      for (const [place, side] of drained) {
        if (routed(place, side)) continue;
        inFlight += side.counts.inFlight;
        for (const [key, one] of place.sides) if (one === side) place.sides.delete(key);
        await side.close();
      }
      return { inFlight, milliseconds: clock.elapsed() - start };
    },

    metrics: () => '',
    setTls: () => {},

    async close(deadlineMs) {
      closing = true;
      const closed = servers.splice(0).map((server) => [server, new Promise((resolve) => server.close(resolve))] as const);
      const sides = [...places.values()].flatMap((place) => [...place.sides.values()]);
      await Promise.all(sides.map((side) => side.idle(deadlineMs)));
      for (const [server, done] of closed) {
        server.closeAllConnections();
        await done;
      }
      await Promise.all(sides.map((side) => side.close()));
      places.clear();
    },
  };
}

function pick({ shares, application }: Entry, cookies: string | undefined): { side: Side; cookie?: string } {
  const [newcomer] = shares;
  if (newcomer === undefined) throw new CairnError('internal', 'a route without a side');
  if (shares.length === 1) return { side: newcomer.side };
  const known = clientOf(cookies);
  const client = known ?? newClient();
  let rest = pointOf(client, application);
  const share = shares.find(({ weight }) => (rest -= weight) < 0) ?? newcomer;
  return { side: share.side, ...(known === undefined && { cookie: cookieOf(client, false) }) };
}

async function listening(server: Server, host: string, port: number, environment: string): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => {
      server.off('error', reject);
      resolve();
    });
  }).catch((cause: NodeJS.ErrnoException) => {
    if (cause.code !== 'EADDRINUSE' && cause.code !== 'EACCES' && cause.code !== 'EADDRNOTAVAIL') throw cause;
    const reason = cause.code === 'EADDRINUSE' ? 'is taken by another program' : `can't be opened (${cause.code})`;
    throw new CairnError('port-taken', `port ${port} of ${host}, meant for ${environment}, ${reason}`, {
      fix: `Stop the program that listens on it, or give ${environment} another port in the server's configuration`,
      context: { environment, host, port },
      cause,
    });
  });
}
