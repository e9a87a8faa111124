import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http';
import { PassThrough } from 'node:stream';
import type { Dispatcher } from 'undici';
import { answerError } from './answer.ts';
import { passedBack, type Forwarded } from './headers.ts';
import type { Side } from './side.ts';

/** Failures before which no byte of the request can have been acted on, so that any request may be sent again. */
const neverSent = new Set(['ECONNREFUSED', 'UND_ERR_CONNECT_TIMEOUT', 'UND_ERR_CLOSED']);
/** The connection died under the request: it may have been acted on, so that only safe methods are sent again. */
const connectionLost = new Set(['UND_ERR_SOCKET', 'ECONNRESET', 'EPIPE']);

const ignore = (): void => {};

/** One request on its way through: the hot path, so one object and no promise. It stays on the side that it entered. */
export class Exchange implements Dispatcher.DispatchHandler {
  readonly #side: Side;
  readonly #request: IncomingMessage;
  readonly #response: ServerResponse;
  readonly #forwarded: Forwarded;
  #controller: Dispatcher.DispatchController | undefined;
  #retried = false;
  #paused = false;
  #ended = false;
  #gone = false;

  constructor(side: Side, request: IncomingMessage, response: ServerResponse, forwarded: Forwarded, cookie: string | undefined) {
    if (cookie !== undefined) response.appendHeader('set-cookie', cookie);
    this.#side = side;
    this.#request = request;
    this.#response = response;
    this.#forwarded = forwarded;
    side.enter();
    // Without a listener, a chunk that comes just after the client's connection broke would end the whole data plane.
    response.on('error', ignore);
    response.on('close', () => {
      this.#gone = true;
      side.leave();
      // The client left: the application need not go on for it.
      if (!this.#ended) this.#controller?.abort(new Error('the client went away'));
    });
  }

  send(): void {
    const pool = this.#side.next();
    if (pool === undefined) {
      this.#fail('no instance of the release is running');
      return;
    }
    pool.dispatch(
      {
        path: this.#forwarded.path,
        method: this.#request.method as Dispatcher.HttpMethod,
        headers: this.#forwarded.headers,
        body: this.#forwarded.hasBody ? this.#body() : null,
      },
      this,
    );
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    if (this.#gone) controller.abort(new Error('the client went away'));
  }

  onResponseStart(_: unknown, status: number, headers: IncomingHttpHeaders, message = ''): void {
    // 103 and the like announce an answer; that one is passed on.
    if (status < 200) return;
    this.#response.writeHead(status, message, passedBack(headers, this.#side.backend.release));
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#response.write(chunk)) return;
    controller.pause();
    if (this.#paused) return;
    this.#paused = true;
    this.#response.on('drain', () => controller.resume());
  }

  onResponseEnd(): void {
    this.#ended = true;
    this.#side.counts.responses++;
    this.#response.end();
  }

  onResponseError(_: unknown, error: Error & { code?: string }): void {
    if (this.#gone) return;
    if (this.#response.headersSent) {
      // Half an answer must not look whole: the client sees the connection break.
      this.#side.counts.errors++;
      this.#ended = true;
      this.#response.destroy();
    } else if (this.#mayRetry(error.code ?? '')) {
      this.#retried = true;
      this.send();
    } else {
      this.#fail('the application does not answer');
    }
  }

  /**
   * A stream of its own: on failure undici destroys the body, which for the request itself would take the client's connection
   * along, and with it the 502.
   */
  #body(): PassThrough {
    return this.#request.pipe(new PassThrough()).on('error', ignore);
  }

  #mayRetry(code: string): boolean {
    if (this.#retried || this.#forwarded.hasBody) return false;
    const { method } = this.#request;
    return neverSent.has(code) || ((method === 'GET' || method === 'HEAD') && connectionLost.has(code));
  }

  #fail(message: string): void {
    this.#side.counts.errors++;
    this.#ended = true;
    const fix = 'Look at the release with cairn logs, or return to the one before with cairn rollback';
    answerError(this.#response, { status: 502, code: 'unreachable', message, fix }, this.#side.backend.release);
  }
}
