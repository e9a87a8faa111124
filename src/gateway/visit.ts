import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Clock } from '#core';
import { answerError, type OwnAnswer } from './answer.ts';
import { mayBeHashed } from './assets.ts';
import { Exchange } from './exchange.ts';
import { serveFile } from './files.ts';
import type { Forwarded } from './headers.ts';
import type { Guest, Side } from './side.ts';

export interface VisitOptions {
  readonly clock: Clock;
  readonly stallMs: number;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly forwarded: Forwarded;
  /** `Expect: 100-continue`: the client waits for a word before it sends its body. */
  readonly expects: boolean;
  /** Where the client asks for a WebSocket: its socket, and what came behind the request. */
  readonly upgrade: { readonly socket: Duplex; readonly head: Buffer } | undefined;
  /** Set on the answer, for a client that comes to a split route for the first time. */
  readonly cookie: string | undefined;
  /** Other sides that may have a hashed asset which the first one lacks, in turn. */
  readonly elsewhere: readonly Side[];
}

const ignore = (): void => {};

/** One request of a client, from its arrival until its answer is out: on one side at a time, and counted there. */
export class Visit implements Guest {
  readonly options: VisitOptions;
  side: Side;
  place = -1;
  /** The client left, or has all that it will get. */
  over = false;
  readonly #first: Side;
  readonly #start: number;
  #asked = 0;
  #tunnel = false;
  #worker: { abort(): void } | undefined;

  constructor(options: VisitOptions, side: Side) {
    this.options = options;
    this.side = side;
    this.#first = side;
    this.#start = options.clock.elapsed();
    const { response } = options;
    // Without a listener, a piece that comes just after the client's connection broke would end the whole data plane.
    response.on('error', ignore);
    response.on('close', () => this.leave());
  }

  start(): void {
    this.side.enter(this);
    if (this.side.backend.directory !== null) serveFile(this, this.side.backend.directory);
    else {
      const exchange = new Exchange(this);
      this.#worker = exchange;
      exchange.start();
    }
  }

  get borrows(): boolean {
    return this.#asked > 0;
  }

  /** The answer's head is known, by now or after it was waited for. */
  answered(status: number, milliseconds = this.waited()): void {
    this.side.meter.answered(status, milliseconds);
  }

  waited(): number {
    return this.options.clock.elapsed() - this.#start;
  }

  /** The whole answer is out, as far as it depends on the application. */
  done(): void {
    this.side.meter.responses++;
    this.#worker = undefined;
  }

  /** From here it is two sockets: what is left to do is to end. */
  switched(abort: () => void): void {
    this.answered(101);
    this.side.meter.responses++;
    this.#tunnel = true;
    this.#worker = { abort };
  }

  leave(): void {
    this.over = true;
    this.side.leave(this);
    // The client left: the application need not go on for it.
    this.#worker?.abort();
    this.#worker = undefined;
  }

  cut(): void {
    const { response, upgrade } = this.options;
    this.#worker?.abort();
    this.#worker = undefined;
    // It was answered long ago, and its end is no failure.
    if (this.#tunnel) upgrade?.socket.destroy();
    else if (response.headersSent) this.break();
    else this.fail({ status: 502, code: 'unreachable', message: 'the release was retired before it answered' });
  }

  /** Half an answer must not look whole: the client sees the connection break. */
  break(): void {
    this.side.meter.errors++;
    this.#worker = undefined;
    this.options.response.destroy();
  }

  fail(answer: OwnAnswer): void {
    this.side.meter.errors++;
    this.#worker = undefined;
    this.answer({ fix: 'Look at the release with cairn logs, or return to the one before with cairn rollback', ...answer });
  }

  /** An answer of our own, in the name of the release that was to answer. */
  answer(answer: OwnAnswer): void {
    if (this.over) return;
    this.answered(answer.status);
    answerError(this.options.response, answer, this.#first.backend.release);
  }

  /** Whether what the side answers 404 is asked elsewhere; then its answer is dropped. Only a hashed asset ever is. */
  asksElsewhere(status: number): boolean {
    const { elsewhere, request, forwarded } = this.options;
    if (elsewhere.length === 0) return false;
    if (this.#asked > 0) return status >= 400;
    return status === 404 && forwarded.body === 'none' && (request.method === 'GET' || request.method === 'HEAD') && mayBeHashed(forwarded.path);
  }

  /** Goes to the next side that may have it. */
  goElsewhere(): void {
    const next = this.options.elsewhere[this.#asked++];
    if (next === undefined) return this.answer({ status: 404, code: 'not-found', message: 'no release that runs has this file' });
    this.answered(404);
    this.side.leave(this);
    this.side = next;
    this.start();
  }
}
