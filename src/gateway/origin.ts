import type { Clock } from '#core';
import type { Limits } from './backend.ts';
import { Connection, type Receiver } from './connection.ts';

const connectMs = 5_000;
/** Where the application does not say how long it keeps an idle connection: Node's own default is 5 s. */
const unsaidKeepMs = 4_000;
const longestKeepMs = 60_000;
/** What can't be sent twice must not meet a connection that the application is just closing. */
const youngMs = 1_000;

/** Which connection will do: any that is kept, one that was just of use, a new one, a new one that may become a tunnel. */
export type Age = 'any' | 'young' | 'new' | 'tunnel';

/** One instance: its connections. */
export class Origin {
  readonly host: string;
  readonly port: number;
  readonly #clock: Clock;
  readonly #limits: Limits;
  readonly #all = new Set<Connection>();
  /** The last freed one is taken first: the others may idle away. */
  readonly #free: Connection[] = [];
  #waiting: Receiver[] = [];
  #closed = false;
  #sweep: NodeJS.Timeout | undefined;

  constructor(url: string, clock: Clock, limits: Limits) {
    const { hostname, port } = new URL(url);
    this.host = hostname.replace(/^\[|\]$/g, '');
    this.port = Number(port === '' ? 80 : port);
    this.#clock = clock;
    this.#limits = limits;
  }

  /** Gives the receiver a connection, at once or when one gets free; False: too many wait. */
  ask(receiver: Receiver, age: Age): boolean {
    if (this.#closed) receiver.failed('unsent', 'the instance is gone');
    else {
      const kept = age === 'any' || age === 'young' ? this.#take(age) : undefined;
      if (kept !== undefined) kept.ask(receiver);
      else if (this.#all.size < this.#limits.connections || age === 'tunnel') this.#connect(age === 'tunnel').ask(receiver);
      else if (this.#waiting.length < this.#limits.waiting) this.#waiting.push(receiver);
      else return false;
    }
    return true;
  }

  /** One that waits in line no longer. */
  forget(receiver: Receiver): void {
    const at = this.#waiting.indexOf(receiver);
    if (at !== -1) this.#waiting.splice(at, 1);
  }

  free(connection: Connection, idleMs: number | undefined): void {
    if (this.#closed) {
      connection.socket.destroy();
      return;
    }
    connection.usedAt = this.#clock.elapsed();
    connection.keepMs = idleMs === undefined ? unsaidKeepMs : Math.min(idleMs - 1_000, longestKeepMs);
    const next = this.#waiting.shift();
    if (next !== undefined) connection.ask(next);
    else this.#free.push(connection);
  }

  gone(connection: Connection): void {
    this.#all.delete(connection);
    const at = this.#free.indexOf(connection);
    if (at !== -1) this.#free.splice(at, 1);
    const next = this.#waiting.shift();
    if (next !== undefined) this.#connect(false).ask(next);
    if (this.#all.size > 0) return;
    clearInterval(this.#sweep);
    this.#sweep = undefined;
  }

  /** No new requests; those in flight finish. Those that wait were not sent, and find another instance. */
  close(): void {
    this.#closed = true;
    for (const connection of this.#free.splice(0)) connection.socket.destroy();
    for (const receiver of this.#waiting.splice(0)) receiver.failed('unsent', 'the instance is gone');
  }

  #take(age: Age): Connection | undefined {
    const kept = this.#free.pop();
    if (kept === undefined) return undefined;
    const now = this.#clock.elapsed();
    const idle = now - kept.usedAt;
    if (idle < kept.keepMs && (age === 'any' || idle < youngMs)) {
      kept.usedAt = now;
      return kept;
    }
    // The others have been idle for longer; the sweep sees to them.
    if (idle < kept.keepMs) this.#free.push(kept);
    else kept.socket.destroy();
    return undefined;
  }

  #connect(tunnel: boolean): Connection {
    const connection = new Connection(this, this.#clock.elapsed(), unsaidKeepMs, tunnel);
    this.#all.add(connection);
    this.#sweep ??= setInterval(() => this.#sweepNow(), 1_000).unref();
    return connection;
  }

  /** One timer for all connections: one for each request would cost more than the request. */
  #sweepNow(): void {
    const now = this.#clock.elapsed();
    for (const connection of this.#all) {
      const idle = now - connection.usedAt;
      if (!connection.busy) {
        if (idle >= connection.keepMs) connection.socket.destroy();
      } else if (connection.socket.connecting) {
        if (idle >= connectMs) connection.fail('unsent', `no connection within ${connectMs / 1_000} s`);
      } else if (connection.sent && !connection.answering && idle >= this.#limits.answerMs) connection.fail('late', 'no answer in time');
    }
  }
}
