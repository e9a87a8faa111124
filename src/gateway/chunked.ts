import { MalformedAnswer } from './response-head.ts';

/** Takes a chunked body apart (RFC 9112, 7.1), however it was cut into pieces. */
export class ChunkedBody {
  /** Bytes of a line that are not complete yet: a chunk's size, the end of its data, or a trailer. */
  #line = '';
  #left = 0;
  #part: 'size' | 'data' | 'border' | 'trailers' | 'done' = 'size';
  readonly #data: (piece: Buffer) => void;
  /** As they came: `Name: value`, checked to be that. */
  readonly trailers: string[] = [];
  #trailerBytes = 0;

  constructor(data: (piece: Buffer) => void) {
    this.#data = data;
  }

  get done(): boolean {
    return this.#part === 'done';
  }

  /** How many bytes were of this body: fewer than there are only where it is done. @throws MalformedAnswer */
  take(bytes: Buffer): number {
    let at = 0;
    while (at < bytes.length && this.#part !== 'done') {
      if (this.#part === 'data') {
        const to = Math.min(at + this.#left, bytes.length);
        this.#left -= to - at;
        if (this.#left === 0) this.#part = 'border';
        this.#data(at === 0 && to === bytes.length ? bytes : bytes.subarray(at, to));
        at = to;
        continue;
      }
      const newline = bytes.indexOf(10, at);
      const to = newline === -1 ? bytes.length : newline + 1;
      if (this.#line.length + to - at > longestLine) throw new MalformedAnswer('a line of its chunked body has no end');
      this.#line += bytes.toString('latin1', at, to);
      at = to;
      if (newline !== -1) this.#took();
    }
    return at;
  }

  #took(): void {
    const line = this.#line;
    this.#line = '';
    if (this.#part === 'size') {
      const size = sizeLine.exec(line)?.[1];
      if (size === undefined) throw new MalformedAnswer('the size of a chunk is no number');
      this.#left = Number.parseInt(size, 16);
      this.#part = this.#left === 0 ? 'trailers' : 'data';
    } else if (this.#part === 'border') {
      if (line !== '\r\n') throw new MalformedAnswer('a chunk is longer than its size');
      this.#part = 'size';
    } else if (line === '\r\n') {
      this.#part = 'done';
    } else {
      this.#trailerBytes += line.length;
      const [, name, value] = trailerLine.exec(line) ?? [];
      if (name === undefined || value === undefined || this.#trailerBytes > longestLine) throw new MalformedAnswer('it has a malformed trailer');
      this.trailers.push(name, value.replaceAll(/^[\t ]+|[\t ]+$/g, ''));
    }
  }
}

const longestLine = 16 << 10;
// 12 digits count further than any disk. Extensions mean nothing to us; a bare CR among them could be a line's end to others.
const sizeLine = /^([0-9A-Fa-f]{1,12})[\t ]*(?:;[\t\x20-\x7e\x80-\xff]*)?\r\n$/;
const trailerLine = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):([\t\x20-\x7e\x80-\xff]*)\r\n$/;
