import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { CairnError, type Clock, type Digest } from '#core';
import { answerError } from './answer.ts';
import { Exchange } from './exchange.ts';
import { forwardedRequest } from './headers.ts';
import { Side, type Backend, type Counts } from './side.ts';

export interface Gateway {
  /** Opens the environment's listener; port 0 takes a free one. @throws CairnError `port-taken` */
  listen(environment: string, host: string, port: number): Promise<{ readonly port: number }>;
  /**
   * Synchronous and atomic: a request that arrives after it returns is never sent to the former backend; those in flight finish
   * there. The former side's connections stay warm until `drain`. Returns the former backend.
   */
  swap(environment: string, backend: Backend | undefined): Backend | undefined;
  /** Of the content in all environments. */
  counts(content: Digest): Counts;
  /**
   * Waits until nothing is in flight on the content where it isn't live, at most `deadlineMs`, then closes its connections,
   * which cuts off what is still in flight. Where the content is live, or becomes it meanwhile, nothing happens.
   */
  drain(content: Digest, deadlineMs: number): Promise<{ readonly inFlight: number; readonly milliseconds: number }>;
  /** Stops accepting, lets what is in flight finish until the deadline, closes every connection. */
  close(deadlineMs: number): Promise<void>;
}

interface Route {
  current: Side | undefined;
  /** The live content and those that served before it and are not drained yet. */
  readonly sides: Map<Digest, Side>;
}

/** Longer than the idle time of the usual load balancers, so that it is them who close, never we under their next request. */
const keepAliveMs = 65_000;

export function createGateway({ clock }: { readonly clock: Clock }): Gateway {
  const routes = new Map<string, Route>();
  const servers: Server[] = [];
  let closing = false;

  function routeOf(environment: string): Route {
    let route = routes.get(environment);
    if (route === undefined) routes.set(environment, (route = { current: undefined, sides: new Map() }));
    return route;
  }

  function handle(environment: string, route: Route, request: IncomingMessage, response: ServerResponse): void {
    if (closing) response.shouldKeepAlive = false;
    const side = route.current;
    if (side === undefined) {
      const message = `nothing is live in ${environment}`;
      answerError(response, { status: 503, code: 'not-found', message, fix: `Promote a release: cairn promote DIGEST ${environment}` });
      return;
    }
    const forwarded = forwardedRequest(request);
    if (forwarded === undefined) {
      answerError(response, { status: 400, code: 'usage', message: 'the request target or its Host header is not understood' });
      return;
    }
    new Exchange(side, request, response, forwarded).send();
  }

  function* sidesOf(content: Digest): Generator<[Route, Side]> {
    for (const route of routes.values()) {
      const side = route.sides.get(content);
      if (side !== undefined) yield [route, side];
    }
  }

  return {
    async listen(environment, host, port) {
      const route = routeOf(environment);
      const server = createServer({ keepAliveTimeout: keepAliveMs }, (request, response) =>
        handle(environment, route, request, response),
      );
      await listening(server, host, port, environment);
      servers.push(server);
      return { port: (server.address() as AddressInfo).port };
    },

    swap(environment, backend) {
      const route = routeOf(environment);
      const former = route.current?.backend;
      if (backend === undefined) {
        route.current = undefined;
        return former;
      }
      let side = route.sides.get(backend.content);
      if (side === undefined) route.sides.set(backend.content, (side = new Side(backend)));
      else side.reroute(backend);
      route.current = side;
      return former;
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
      const drained = [...sidesOf(content)].filter(([route, side]) => route.current !== side);
      await Promise.all(drained.map(([, side]) => side.idle(deadlineMs)));
      let inFlight = 0;
      for (const [route, side] of drained) {
        if (route.current === side) continue;
        inFlight += side.counts.inFlight;
        route.sides.delete(content);
        await side.close();
      }
      return { inFlight, milliseconds: clock.elapsed() - start };
    },

    async close(deadlineMs) {
      closing = true;
      const closed = servers.splice(0).map((server) => [server, new Promise((resolve) => server.close(resolve))] as const);
      const sides = [...routes.values()].flatMap((route) => [...route.sides.values()]);
      await Promise.all(sides.map((side) => side.idle(deadlineMs)));
      for (const [server, done] of closed) {
        server.closeAllConnections();
        await done;
      }
      await Promise.all(sides.map((side) => side.close()));
      routes.clear();
    },
  };
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
