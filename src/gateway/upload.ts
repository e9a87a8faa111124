import type { IncomingMessage } from 'node:http';
import type { Connection } from './connection.ts';
import { passedTrailers } from './headers.ts';

export interface UploadOptions {
  readonly chunked: boolean;
  /** A client that sends nothing for so long, although we read, holds a connection of the application's for nothing. */
  readonly stallMs: number;
  readonly ended: () => void;
  readonly stalled: () => void;
}

/** Passes the request's body on as it comes, as fast as the application takes it. */
export class Upload {
  readonly #request: IncomingMessage;
  readonly #connection: Connection;
  readonly #options: UploadOptions;
  readonly #timer: NodeJS.Timeout;
  #paused = false;

  constructor(request: IncomingMessage, connection: Connection, options: UploadOptions) {
    this.#request = request;
    this.#connection = connection;
    this.#options = options;
    this.#timer = setTimeout(this.#stalled, options.stallMs);
    request.on('data', this.#onData).on('end', this.#onEnd);
    request.resume();
  }

  /** The application takes more. */
  resume(): void {
    this.#paused = false;
    this.#timer.refresh();
    this.#request.resume();
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#request.off('data', this.#onData).off('end', this.#onEnd);
  }

  #onData = (piece: Buffer): void => {
    this.#timer.refresh();
    const { socket } = this.#connection;
    let more: boolean;
    if (this.#options.chunked) {
      socket.cork();
      socket.write(`${piece.length.toString(16)}\r\n`, 'latin1');
      socket.write(piece);
      more = socket.write('\r\n', 'latin1');
      socket.uncork();
    } else more = socket.write(piece);
    if (more) return;
    this.#paused = true;
    this.#request.pause();
  };

  #onEnd = (): void => {
    this.stop();
    if (this.#options.chunked) {
      const trailers = passedTrailers(this.#request.rawTrailers).map(([name, value]) => `${name}: ${value}\r\n`);
      this.#connection.socket.write(`0\r\n${trailers.join('')}\r\n`, 'latin1');
    }
    this.#options.ended();
  };

  #stalled = (): void => {
    if (this.#paused) this.#timer.refresh();
    else this.#options.stalled();
  };
}
