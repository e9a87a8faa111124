// The application's answer up to its body (RFC 9112). The application is whoever got a release through; a head that can be read in
// two ways is how one user's answer reaches another, so whatever is not plainly well-formed is refused, and answered with 502.

/** How the body ends: there is none, after `length` bytes, with the last chunk, or with the connection. */
type Framing = 'none' | 'length' | 'chunked' | 'close';

export interface Head {
  readonly status: number;
  readonly reason: string;
  /** Names and values in turn, as they came, without those that speak about the connection. */
  readonly headers: string[];
  readonly framing: Framing;
  readonly length: number;
  /** What `Upgrade` says. */
  readonly upgrade: string | undefined;
  readonly keepAlive: boolean;
  /** How long the application keeps an idle connection, where it says so. */
  readonly idleMs: number | undefined;
}

/** Bytes of a head; nobody sends so many, and a stream without an end must not fill the memory. */
export const longestHead = 64 << 10;

export class MalformedAnswer extends Error {}

const statusLine = /^HTTP\/1\.([01]) ([1-5][0-9]{2})(?: ([\t\x20-\x7e\x80-\xff]*))?$/;
// No folded lines, no space before the colon, no line ends but CRLF: each has been two things to two readers. One test over all
// lines; no part of it can be matched in two ways, so that it is linear.
const fieldLines = /^(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e\x80-\xff]*\r\n)*$/;
const digits = /^[0-9]{1,15}$/;

/**
 * `text` is all before the empty line, as latin1, with the CRLF of its last line. `hasNoBody` for the answer to HEAD.
 * @throws MalformedAnswer
 */
export function parseHead(text: string, hasNoBody: boolean): Head {
  const lineEnd = text.indexOf('\r\n');
  const line = statusLine.exec(text.slice(0, lineEnd));
  if (line === null) throw new MalformedAnswer('its first line is no status line of HTTP/1');
  if (!fieldLines.test(text.slice(lineEnd + 2))) throw new MalformedAnswer('it has a malformed header line');
  const oldest = line[1] === '0';
  const status = Number(line[2]);
  const headers: string[] = [];
  let length = -1;
  let chunked = false;
  let connection: string | undefined;
  let upgrade: string | undefined;
  let idleMs: number | undefined;
  for (let at = lineEnd + 2; at < text.length; ) {
    const colon = text.indexOf(':', at);
    const end = text.indexOf('\r\n', colon);
    const name = text.slice(at, colon);
    const value = trimmed(text, colon + 1, end);
    at = end + 2;
    switch (name.toLowerCase()) {
      case 'content-length':
        if (!digits.test(value) || (length !== -1 && length !== Number(value))) throw new MalformedAnswer('its Content-Length is no one number');
        if (length === -1 && status !== 204) headers.push(name, value);
        length = Number(value);
        break;
      case 'transfer-encoding':
        if (chunked || oldest || value.toLowerCase() !== 'chunked') throw new MalformedAnswer('its Transfer-Encoding is not chunked');
        chunked = true;
        break;
      case 'connection':
        connection = connection === undefined ? value.toLowerCase() : `${connection},${value.toLowerCase()}`;
        break;
      case 'keep-alive':
        idleMs = Number(/(?:^|[\s,])timeout=([0-9]{1,6})/i.exec(value)?.[1] ?? Number.NaN) * 1_000;
        if (Number.isNaN(idleMs)) idleMs = undefined;
        break;
      case 'upgrade':
        upgrade = value.toLowerCase();
        break;
      default:
        headers.push(name, value);
    }
  }
  if (chunked && length !== -1) throw new MalformedAnswer('it has both Content-Length and Transfer-Encoding');
  const named = connection === undefined || connection === 'keep-alive' || connection === 'close' ? undefined : namesIn(connection);
  const empty = hasNoBody || status < 200 || status === 204 || status === 304;
  return {
    status,
    reason: line[3] ?? '',
    headers: named === undefined ? headers : without(headers, named),
    framing: empty ? 'none' : chunked ? 'chunked' : length === -1 ? 'close' : 'length',
    length: empty ? 0 : length,
    upgrade,
    keepAlive: named === undefined ? connection === 'keep-alive' || (connection === undefined && !oldest) : !named.has('close') && (!oldest || named.has('keep-alive')),
    idleMs,
  };
}

/** What a `Connection` header names: of that connection only, never passed on. */
export function namesIn(connection: string): Set<string> {
  return new Set(connection.toLowerCase().split(',').map((name) => name.trim()));
}

function without(headers: readonly string[], names: ReadonlySet<string>): string[] {
  const kept: string[] = [];
  for (let at = 0; at < headers.length; at += 2) {
    const [name = '', value = ''] = [headers[at], headers[at + 1]];
    if (!names.has(name.toLowerCase())) kept.push(name, value);
  }
  return kept;
}

function trimmed(text: string, from: number, to: number): string {
  while (from < to && isBlank(text.charCodeAt(from))) from++;
  while (to > from && isBlank(text.charCodeAt(to - 1))) to--;
  return text.slice(from, to);
}

function isBlank(code: number): boolean {
  return code === 32 || code === 9;
}
