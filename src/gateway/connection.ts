import { connect, type Socket } from 'node:net';
import { ChunkedBody } from './chunked.ts';
import type { Origin } from './origin.ts';
import { longestHead, MalformedAnswer, parseHead, type Head } from './response-head.ts';

/**
 * Why no whole answer came. `unsent`: there was no connection, so that nothing can have been acted on. `lost`: it ended before
 * the first byte of an answer. `malformed`: what came is no HTTP. `broken`: it ended within the answer. `late`: it is overdue.
 */
export type Failure = 'unsent' | 'lost' | 'malformed' | 'broken' | 'late';

/** Whoever asked, told of the answer. Only `failed` or `end`, or `whole`, comes last. */
export interface Receiver {
  readonly isHead: boolean;
  /** The request may be written; at once on a kept connection. */
  connected(connection: Connection): void;
  information(head: Head): void;
  /** `more`: data follows at once. */
  head(head: Head, more: boolean): void;
  /** The piece is the connection's: what outlives the call is copied. */
  data(piece: Buffer): void;
  end(trailers: readonly string[]): void;
  /** Head, data (to be copied too) and end in one: most answers are short, and one write costs half of two. */
  whole(head: Head, body: Buffer): void;
  /** The application switched protocols: the socket is the receiver's from here, with the bytes that came behind the head. */
  switched(head: Head, socket: Socket, rest: Buffer): void;
  failed(failure: Failure, reason: string): void;
  /** More of the request's body can be taken. */
  writable(): void;
}

/**
 * What every connection reads into, one after the other: a buffer for each read would cost as much as the rest of a request.
 * libuv asks for it, reads and calls us in one go, except on Windows, where reads of several connections are under way at once.
 */
const shared = process.platform === 'win32' ? undefined : Buffer.allocUnsafeSlow(64 << 10);

const none: Buffer = Buffer.alloc(0);
const blank = Buffer.from('\r\n\r\n');

/** One connection to an instance: one request at a time, never pipelined, since an answer too many would become another user's. */
export class Connection {
  readonly origin: Origin;
  readonly socket: Socket;
  /** When it last was of use, by the origin's clock. */
  usedAt: number;
  /** How long it may be idle until the application might close it just as we send. */
  keepMs: number;
  /** The request was written to its end: only then the next may follow. */
  sent = false;
  #receiver: Receiver | undefined;
  #open = false;
  #answering = false;
  #partial: Buffer = none;
  #head: Head | undefined;
  #left = 0;
  #chunked: ChunkedBody | undefined;

  /** `tunnel`: the socket may become the receiver's, and then is read as any other. */
  constructor(origin: Origin, at: number, keepMs: number, tunnel: boolean) {
    this.origin = origin;
    this.usedAt = at;
    this.keepMs = keepMs;
    const onread = shared !== undefined && !tunnel && { buffer: shared, callback: (size: number, buffer: Buffer) => this.#onData(buffer.subarray(0, size)) };
    const socket = (this.socket = connect({ host: origin.host, port: origin.port, noDelay: true, allowHalfOpen: true, ...(onread && { onread }) }));
    socket.on('connect', () => {
      this.#open = true;
      this.#receiver?.connected(this);
    });
    if (onread === false) socket.on('data', this.#onData);
    socket.on('end', this.#onEnd);
    socket.on('drain', () => this.#receiver?.writable());
    socket.on('error', this.#onError);
    socket.on('close', this.#onClose);
  }

  get busy(): boolean {
    return this.#receiver !== undefined;
  }

  get answering(): boolean {
    return this.#answering;
  }

  ask(receiver: Receiver): void {
    this.#receiver = receiver;
    this.sent = false;
    if (this.#open) receiver.connected(this);
  }

  /** The asker wants nothing more of it. */
  abandon(): void {
    this.#receiver = undefined;
    this.socket.destroy();
  }

  fail(failure: Failure, reason: string): void {
    const receiver = this.#receiver;
    this.abandon();
    receiver?.failed(failure, reason);
  }

  #onData = (bytes: Buffer): true => {
    try {
      if (this.#head === undefined) this.#takeHead(this.#partial.length === 0 ? bytes : Buffer.concat([this.#partial, bytes]));
      else this.#takeBody(bytes);
    } catch (error) {
      if (!(error instanceof MalformedAnswer)) throw error;
      this.fail(this.#head === undefined ? 'malformed' : 'broken', error.message);
    }
    return true;
  };

  #takeHead(bytes: Buffer): void {
    const receiver = this.#receiver;
    // Nobody asked: whatever this is, the next one to ask must not get it.
    if (receiver === undefined) {
      this.socket.destroy();
      return;
    }
    this.#answering = true;
    const end = bytes.indexOf(blank, Math.max(this.#partial.length - 3, 0));
    if (end === -1) {
      if (bytes.length > longestHead) throw new MalformedAnswer('its head has no end');
      this.#partial = Buffer.from(bytes);
      return;
    }
    this.#partial = none;
    const head = parseHead(bytes.toString('latin1', 0, end + 2), receiver.isHead);
    const rest = end + 4 === bytes.length ? none : bytes.subarray(end + 4);
    if (head.status === 101) this.#switch(receiver, head, rest);
    else if (head.status < 200) {
      receiver.information(head);
      if (rest.length > 0 && this.#receiver === receiver) this.#takeHead(rest);
    } else this.#answer(receiver, head, rest);
  }

  #answer(receiver: Receiver, head: Head, rest: Buffer): void {
    if (head.framing === 'none' || (head.framing === 'length' && rest.length >= head.length)) {
      const over = rest.length > head.length;
      this.#finish(head, over);
      receiver.whole(head, over ? rest.subarray(0, head.length) : rest);
      return;
    }
    this.#head = head;
    this.#left = head.length;
    if (head.framing === 'chunked') this.#chunked = new ChunkedBody((piece) => this.#receiver?.data(piece));
    receiver.head(head, rest.length > 0);
    // It may have been abandoned at the sight of the head.
    if (rest.length > 0 && this.#receiver === receiver) this.#takeBody(rest);
  }

  #takeBody(bytes: Buffer): void {
    const [receiver, head, chunked] = [this.#receiver, this.#head, this.#chunked];
    if (receiver === undefined || head === undefined) return;
    if (chunked !== undefined) {
      const taken = chunked.take(bytes);
      if (chunked.done && this.#receiver === receiver) {
        this.#finish(head, taken < bytes.length);
        receiver.end(chunked.trailers);
      }
    } else if (head.framing === 'length') {
      const over = bytes.length > this.#left;
      const piece = over ? bytes.subarray(0, this.#left) : bytes;
      this.#left -= piece.length;
      receiver.data(piece);
      if (this.#left > 0 || this.#receiver !== receiver) return;
      this.#finish(head, over);
      receiver.end([]);
    } else receiver.data(bytes);
  }

  #switch(receiver: Receiver, head: Head, rest: Buffer): void {
    this.#receiver = undefined;
    this.socket.off('data', this.#onData).off('end', this.#onEnd).off('error', this.#onError).off('close', this.#onClose).removeAllListeners('drain');
    this.origin.gone(this);
    receiver.switched(head, this.socket, rest);
  }

  /** The answer is whole. Kept only where both sides are at a border that both know, and nothing came behind. */
  #finish(head: Head, over: boolean): void {
    this.#receiver = undefined;
    this.#head = undefined;
    this.#chunked = undefined;
    this.#answering = false;
    if (over || !this.sent || !head.keepAlive || head.framing === 'close') this.socket.destroy();
    else {
      // A paused one would never tell that the application closed it.
      this.socket.resume();
      this.origin.free(this, head.idleMs);
    }
  }

  #onEnd = (): void => {
    const [receiver, head] = [this.#receiver, this.#head];
    if (receiver !== undefined && head?.framing === 'close') {
      this.#finish(head, true);
      receiver.end([]);
    } else this.#ended('it closed the connection');
  };

  #onError = (error: NodeJS.ErrnoException): void => this.#ended(error.code ?? error.message);

  #onClose = (): void => {
    this.origin.gone(this);
    this.#ended('the connection closed');
  };

  #ended(reason: string): void {
    this.fail(!this.#open ? 'unsent' : this.#head !== undefined ? 'broken' : this.#answering ? 'malformed' : 'lost', reason);
  }
}
