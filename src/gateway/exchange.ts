import type { Socket } from 'node:net';
import type { Connection, Failure, Receiver } from './connection.ts';
import { passedBack, passedTrailers } from './headers.ts';
import type { Origin } from './origin.ts';
import type { Head } from './response-head.ts';
import { tunnel } from './tunnel.ts';
import { Upload } from './upload.ts';
import type { Visit } from './visit.ts';

/** A body up to here is copied behind the head into one write. */
const shortBody = 16 << 10;
/** For applications that have never heard of `Expect`: who waits for their word would wait for ever. */
const continueMs = 1_000;

/** A visit's question to an application: the hot path, so one object and no promise. */
export class Exchange implements Receiver {
  readonly isHead: boolean;
  readonly #visit: Visit;
  /** Sent once more where the connection dies unanswered: only what changes nothing, and has no body that would be spent. */
  readonly #repeatable: boolean;
  #origin: Origin | undefined;
  #connection: Connection | undefined;
  #upload: Upload | undefined;
  #continue: NodeJS.Timeout | undefined;
  #attempts = 0;
  #repeated = false;
  #paused = false;
  #aborted = false;

  constructor(visit: Visit) {
    const { request, forwarded, upgrade } = visit.options;
    this.#visit = visit;
    this.isHead = request.method === 'HEAD';
    this.#repeatable = (this.isHead || request.method === 'GET') && forwarded.body === 'none' && upgrade === undefined;
  }

  start(): void {
    const { side, options } = this.#visit;
    this.#attempts++;
    this.#origin = side.next();
    if (this.#origin === undefined) this.#fail(503, 'no instance of the release is running');
    else if (!this.#origin.ask(this, options.upgrade !== undefined ? 'tunnel' : this.#repeated ? 'new' : this.#repeatable ? 'any' : 'young')) {
      this.#fail(503, 'too many requests wait for the release');
    }
  }

  abort(): void {
    this.#aborted = true;
    this.#stopUpload();
    if (this.#connection === undefined) this.#origin?.forget(this);
    else this.#connection.abandon();
  }

  connected(connection: Connection): void {
    // Who asked left while the connection was being made: the application need not hear of it.
    if (this.#aborted) return connection.abandon();
    this.#connection = connection;
    const { forwarded, upgrade, expects } = this.#visit.options;
    const end = upgrade !== undefined ? 'connection: upgrade\r\nupgrade: websocket\r\n\r\n' : expects ? 'expect: 100-continue\r\n\r\n' : '\r\n';
    connection.socket.write(forwarded.head + end, 'latin1');
    if (forwarded.body === 'none') connection.sent = true;
    else this.#startUpload(connection);
  }

  information({ status, headers }: Head): void {
    if (status === 100) this.#sayContinue();
    else if (this.#visit.options.request.httpVersionMinor > 0 && this.#visit.options.upgrade === undefined) {
      this.#visit.options.response.writeInformation(status, headers);
    }
  }

  head(head: Head, more: boolean): void {
    if (this.#visit.asksElsewhere(head.status)) {
      this.#connection?.abandon();
      this.#visit.goElsewhere();
      return;
    }
    this.#writeHead(head);
    // An event stream's reader waits for the head, long before the first event.
    if (!more) this.#visit.options.response.flushHeaders();
  }

  data(piece: Buffer): void {
    if (this.#visit.options.response.write(Buffer.from(piece))) return;
    this.#connection?.socket.pause();
    if (this.#paused) return;
    this.#paused = true;
    this.#visit.options.response.once('drain', () => {
      this.#paused = false;
      this.#connection?.socket.resume();
    });
  }

  end(trailers: readonly string[]): void {
    const { response } = this.#visit.options;
    this.#finish();
    if (trailers.length > 0) response.addTrailers(passedTrailers(trailers));
    response.end();
  }

  whole(head: Head, body: Buffer): void {
    if (this.#visit.asksElsewhere(head.status)) {
      this.#connection = undefined;
      this.#visit.goElsewhere();
      return;
    }
    this.#writeHead(head);
    this.#finish();
    const { response } = this.#visit.options;
    if (body.length === 0) response.end();
    else if (body.length <= shortBody) response.end(body.toString('latin1'), 'latin1');
    else response.end(Buffer.from(body));
  }

  switched(head: Head, application: Socket, rest: Buffer): void {
    const { upgrade, response, cookie } = this.#visit.options;
    if (upgrade === undefined || head.upgrade !== 'websocket') {
      application.destroy();
      this.failed('malformed', 'it switched to a protocol that nobody asked for');
      return;
    }
    const { socket } = upgrade;
    response.detachSocket(socket as Socket);
    const headers = passedBack(head.headers, this.#visit.side.backend.release, cookie);
    let text = 'HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n';
    for (let at = 0; at < headers.length; at += 2) text += `${headers[at]}: ${headers[at + 1]}\r\n`;
    socket.write(`${text}\r\n`, 'latin1');
    if (rest.length > 0) socket.write(rest);
    if (upgrade.head.length > 0) application.write(upgrade.head);
    this.#visit.switched(() => application.destroy());
    tunnel(socket, application, () => this.#visit.leave());
  }

  failed(failure: Failure, reason: string): void {
    this.#stopUpload();
    this.#connection = undefined;
    const { response } = this.#visit.options;
    if (this.#aborted) return;
    if (response.headersSent) this.#visit.break();
    else if (this.#mayTryAgain(failure)) this.start();
    else if (failure === 'late') this.#fail(504, 'the application does not answer in time');
    else this.#fail(502, `the application ${failure === 'malformed' ? 'sent a malformed answer' : 'does not answer'}: ${reason}`);
  }

  writable(): void {
    this.#upload?.resume();
  }

  #mayTryAgain(failure: Failure): boolean {
    // Nothing was sent: another instance may have it, whatever it is. Its body was not touched.
    if (failure === 'unsent') return this.#attempts <= this.#visit.side.instances;
    if (failure !== 'lost' || !this.#repeatable || this.#repeated) return false;
    this.#repeated = true;
    return true;
  }

  #fail(status: number, message: string): void {
    if (this.#visit.asksElsewhere(599)) this.#visit.goElsewhere();
    else this.#visit.fail({ status, code: 'unreachable', message });
  }

  #writeHead(head: Head): void {
    const { response, cookie } = this.#visit.options;
    this.#visit.answered(head.status);
    response.writeHead(head.status, head.reason, passedBack(head.headers, this.#visit.side.backend.release, cookie));
  }

  #finish(): void {
    this.#stopUpload();
    this.#connection = undefined;
    this.#visit.done();
  }

  #startUpload(connection: Connection): void {
    const { request, forwarded, expects, stallMs, clock, response } = this.#visit.options;
    this.#upload = new Upload(request, connection, {
      chunked: forwarded.body === 'chunked',
      stallMs,
      ended: () => {
        this.#upload = undefined;
        connection.sent = true;
        connection.usedAt = clock.elapsed();
      },
      stalled: () => {
        // Once it is being answered, who sends and who listens is between the two.
        if (response.headersSent) return;
        this.abort();
        this.#visit.answer({ status: 408, code: 'usage', message: "the rest of the request's body did not come" });
      },
    });
    // The application is asked first, so that it can refuse an upload before it is sent.
    if (expects) this.#continue = setTimeout(() => this.#sayContinue(), continueMs);
  }

  #sayContinue(): void {
    const { expects, response } = this.#visit.options;
    if (!expects || this.#continue === undefined || response.headersSent) return;
    clearTimeout(this.#continue);
    this.#continue = undefined;
    response.writeContinue();
  }

  #stopUpload(): void {
    clearTimeout(this.#continue);
    this.#continue = undefined;
    this.#upload?.stop();
    this.#upload = undefined;
  }
}

