import { ServerResponse, type IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Clock, Digest } from '#core';
import { answerError, type OwnAnswer } from './answer.ts';
import type { Backend, Limits, Route } from './backend.ts';
import { forwardedRequest, type Forwarded } from './headers.ts';
import type { Listener } from './listener.ts';
import { Meter } from './meter.ts';
import { Side } from './side.ts';
import { clientOf, cookieOf, newClient, pointOf } from './sticky.ts';
import { find, tableOf, type Entry, type Table, type Target } from './table.ts';
import { Visit } from './visit.ts';

export interface PlaceOptions {
  readonly clock: Clock;
  readonly limits: Limits;
}

/** Of contents that are gone: a release that was rolled back at once must still be seen in the metrics. */
const mostMeters = 100;
const ignore = (): void => {};

/** One environment: its table, and the sides that it leads to or led to. */
export class Place {
  readonly environment: string;
  readonly listeners: Listener[] = [];
  /** Connections end with the next answer. */
  closing = false;
  readonly #options: PlaceOptions;
  #table: Table = [];
  /** Those routed to, and those that were and are not drained yet. */
  readonly #sides = new Map<string, Side>();
  readonly #meters = new Map<string, Meter>();

  constructor(environment: string, options: PlaceOptions) {
    this.environment = environment;
    this.#options = options;
  }

  /** One assignment: there is no moment between two tables. */
  route(routes: readonly Route[]): void {
    const before = this.#serving();
    this.#table = tableOf(routes, (backend) => this.#sideOf(backend));
    for (const side of this.#serving()) if (!before.has(side)) side.turns++;
  }

  #serving(): Set<Side> {
    return new Set(this.#table.flatMap(({ shares }) => shares.map(({ side }) => side)));
  }

  /** New visitors come to it; one that is only asked for assets that the live side lacks does not serve. */
  serves(side: Side): boolean {
    return this.#table.some(({ shares }) => shares.some((share) => share.side === side));
  }

  handle(secure: boolean, request: IncomingMessage, response: ServerResponse, expects: boolean): void {
    this.#visit(secure, request, response, expects, undefined);
  }

  /** Anything else that asks to switch protocols is served as if it had not asked, as RFC 9110, 7.8 allows: h2c behind us would be a way past every rule. */
  wantsUpgrade(secure: boolean, request: IncomingMessage): boolean {
    if (request.method !== 'GET' || request.headers.upgrade?.toLowerCase() !== 'websocket' || request.httpVersionMinor === 0) return false;
    const forwarded = forwardedRequest(request, secure);
    if (forwarded === undefined || forwarded.body !== 'none') return false;
    const entry = find(this.#table, forwarded.host, forwarded.path);
    return entry !== undefined && entry.shares.every(({ side }) => side.backend.directory === null);
  }

  upgrade(secure: boolean, request: IncomingMessage, socket: Duplex, head: Buffer): void {
    socket.on('error', ignore);
    const response = new ServerResponse(request);
    response.shouldKeepAlive = false;
    response.assignSocket(socket as Parameters<ServerResponse['assignSocket']>[0]);
    response.once('finish', () => socket.end(() => socket.destroy()));
    this.#visit(secure, request, response, false, { socket, head });
  }

  #visit(secure: boolean, request: IncomingMessage, response: ServerResponse, expects: boolean, upgrade: { socket: Duplex; head: Buffer } | undefined): void {
    if (this.closing) response.shouldKeepAlive = false;
    const forwarded = forwardedRequest(request, secure);
    if (forwarded === undefined) {
      answerError(response, { status: 400, code: 'usage', message: 'the request target, its Host or its framing is not understood' });
      return;
    }
    const entry = find(this.#table, forwarded.host, forwarded.path);
    if (entry === undefined) {
      answerError(response, this.#nothing(forwarded));
      return;
    }
    const [target] = entry.shares;
    let { side, elsewhere } = target;
    let cookie: string | undefined;
    if (entry.shares.length > 1) {
      const known = clientOf(request.headers.cookie);
      const client = known ?? newClient();
      if (known === undefined) cookie = cookieOf(client, secure);
      ({ side, elsewhere } = chosen(entry, client));
    }
    new Visit({ clock: this.#options.clock, stallMs: this.#options.limits.stallMs, request, response, forwarded, expects, upgrade, cookie, elsewhere }, side).start();
  }

  #nothing({ host, path }: Forwarded): OwnAnswer {
    if (this.#table.length > 0) return { status: 404, code: 'not-found', message: `no application of ${this.environment} serves ${host}${path.slice(0, 200)}`, fix: 'Look at the routes in cairn.yaml' };
    return { status: 503, code: 'not-found', message: `nothing is live in ${this.environment}`, fix: `Promote a release: cairn promote DIGEST ${this.environment}` };
  }

  isRouted(side: Side): boolean {
    return this.#table.some(({ shares }) => shares.some((share) => share.side === side || share.elsewhere.includes(side)));
  }

  sides(): Iterable<Side> {
    return this.#sides.values();
  }

  meters(): Iterable<Meter> {
    return this.#meters.values();
  }

  sidesOf(content: Digest): Side[] {
    return [...this.#sides.values()].filter(({ backend }) => backend.content === content);
  }

  /** Cuts what is in flight there, and says how much. What is still asked for assets stays open for them. */
  remove(side: Side): number {
    if (this.isRouted(side)) return side.cut();
    this.#sides.delete(keyOf(side.backend));
    return side.close();
  }

  #sideOf(backend: Backend): Side {
    const key = keyOf(backend);
    const known = this.#sides.get(key);
    if (known !== undefined) {
      known.reroute(backend);
      return known;
    }
    const side = new Side(backend, this.#meterOf(key, backend), this.#options.clock, this.#options.limits);
    this.#sides.set(key, side);
    return side;
  }

  #meterOf(key: string, backend: Backend): Meter {
    let meter = this.#meters.get(key);
    if (meter !== undefined) return meter;
    for (const old of this.#meters.keys()) {
      if (this.#meters.size < mostMeters) break;
      if (!this.#sides.has(old)) this.#meters.delete(old);
    }
    this.#meters.set(key, (meter = new Meter(backend)));
    return meter;
  }
}

function keyOf({ application, component, content }: Backend): string {
  return `${application}/${component}/${content}`;
}

function chosen({ shares, application }: Entry, client: string): Target {
  let rest = pointOf(client, application);
  return shares.find(({ weight }) => (rest -= weight) < 0) ?? shares[0];
}
