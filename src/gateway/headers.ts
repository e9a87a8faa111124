import type { IncomingMessage } from 'node:http';
import { namesIn } from './response-head.ts';

/** Names the release that answered, on every answer of the gateway. */
export const releaseHeader = 'cairn-release';

// RFC 9110, 7.6.1: these speak about one connection. Host and framing are written anew from what we understood, never copied, so
// that no reader behind us finds another border or another host in them. The release header: nobody else may claim a release.
const notPassedOn = new Set([
  'host', 'content-length', 'transfer-encoding', 'trailer', 'te', 'connection', 'keep-alive', 'proxy-connection',
  'proxy-authenticate', 'proxy-authorization', 'upgrade', 'http2-settings', 'expect', 'forwarded', releaseHeader,
]);
const notPassedBack = new Set(['trailer', 'te', 'proxy-connection', 'proxy-authenticate', releaseHeader]);
/** What no trailer may say: it comes when the decision it would change is made. */
const notInTrailers = new Set([...notPassedOn, 'authorization', 'cookie', 'set-cookie', 'content-encoding', 'content-type', 'content-range', 'location']);

export interface Forwarded {
  /** With the query. */
  readonly path: string;
  readonly host: string;
  readonly secure: boolean;
  readonly body: 'none' | 'length' | 'chunked';
  /** All up to the body, as the application gets it, without the last empty line. */
  readonly head: string;
}

const hostForm = /^[A-Za-z0-9._~!$&'()*+,;=%:[\]-]*$/;
/** Most requests have the same one. */
let lastHost = '';

/** What the application is sent, or nothing where the request can't be passed on safely (the answer is 400). */
export function forwardedRequest(request: IncomingMessage, secure: boolean): Forwarded | undefined {
  const { headers } = request;
  // Node's parser lets HTTP/0.9 and 2.0 pass, whose framing is not what it then does.
  if (request.httpVersionMajor !== 1) return undefined;
  let path = request.url ?? '/';
  let host = headers.host ?? '';
  // RFC 9112, 3.2.2: the absolute form names the host, whatever the Host header says.
  if (path.charCodeAt(0) !== 47) {
    const absolute = URL.parse(path);
    if (absolute === null || absolute.protocol !== (secure ? 'https:' : 'http:') || absolute.username !== '' || absolute.password !== '') return undefined;
    path = absolute.pathname + absolute.search;
    host = absolute.host;
  }
  // A fragment is no part of a request target: we would route by more of it than the application.
  if (path.includes('#')) return undefined;
  if (host !== lastHost) {
    if (!hostForm.test(host)) return undefined;
    lastHost = host;
  }
  const body = bodyOf(request);
  if (body === undefined) return undefined;
  const named = headers.connection === undefined || headers.connection === 'keep-alive' || headers.connection === 'close' ? undefined : namesIn(headers.connection);
  const raw = request.rawHeaders;
  let head = `${request.method} ${path} HTTP/1.1\r\nhost: ${host}\r\n`;
  let hosts = 0;
  for (let i = 0; i < raw.length; i += 2) {
    const name = (raw[i] as string).toLowerCase();
    if (notPassedOn.has(name)) {
      // Two hosts: we would route by one and the application answer for the other.
      if (name === 'host' && ++hosts > 1) return undefined;
    } else if (!isOurs(name) && named?.has(name) !== true) head += `${name}: ${raw[i + 1]}\r\n`;
  }
  if (body === 'length') head += `content-length: ${headers['content-length']}\r\n`;
  else if (body === 'chunked') head += 'transfer-encoding: chunked\r\n';
  // An upload of nothing says so; without a length some applications would wait for one.
  else if (headers['content-length'] !== undefined) head += 'content-length: 0\r\n';
  head += `x-forwarded-for: ${addressOf(request)}\r\nx-forwarded-proto: ${secure ? 'https' : 'http'}\r\n`;
  if (host !== '') head += `x-forwarded-host: ${host}\r\n`;
  return { path, host, secure, body, head };
}

/**
 * Anyone can send these, and an application that trusts them must see ours only. With underscores too: CGI and those who
 * learned from it (WSGI, Rack, PHP) give both spellings the same name.
 */
function isOurs(name: string): boolean {
  if (name.charCodeAt(0) !== 120 && !name.includes('_')) return false;
  const plain = name.replaceAll('_', '-');
  return plain.startsWith('x-forwarded-') || plain === 'x-real-ip' || (plain !== name && notPassedOn.has(plain));
}

function bodyOf({ headers, httpVersionMinor }: IncomingMessage): Forwarded['body'] | undefined {
  const encoding = headers['transfer-encoding'];
  const length = headers['content-length'];
  if (encoding === undefined) return length === undefined || /^0+$/.test(length) ? 'none' : 'length';
  // RFC 9112, 6.1: HTTP/1.0 knows no chunks, and a coding that we do not undo can't be passed on under other framing.
  return httpVersionMinor === 0 || length !== undefined || encoding.toLowerCase() !== 'chunked' ? undefined : 'chunked';
}

function addressOf({ socket }: IncomingMessage): string {
  const address = socket.remoteAddress ?? 'unknown';
  return address.startsWith('::ffff:') ? address.slice(7) : address;
}

/** The application's headers as `writeHead` takes them: names and values in turn. */
export function passedBack(headers: readonly string[], release: string, cookie: string | undefined): string[] {
  const out = [releaseHeader, release];
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i] as string;
    if (!notPassedBack.has(name.toLowerCase())) out.push(name, headers[i + 1] as string);
  }
  if (cookie !== undefined) out.push('set-cookie', cookie);
  return out;
}

export function passedTrailers(raw: readonly string[]): [string, string][] {
  const out: [string, string][] = [];
  for (let i = 0; i < raw.length; i += 2) {
    const [name = '', value = ''] = [raw[i], raw[i + 1]];
    if (!notInTrailers.has(name.toLowerCase()) && !isOurs(name.toLowerCase())) out.push([name, value]);
  }
  return out;
}
