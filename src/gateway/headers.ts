import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';

/** Names the release that answered, on every response of the gateway. */
export const releaseHeader = 'cairn-release';

// RFC 9110, 7.6.1: these speak about one connection. `expect` was answered by our own server already. `forwarded` and the
// x-forwarded ones are dropped because anyone can send them: an application that trusts them must see ours only. So is the
// release header: neither a client nor an application may claim a release.
const notPassedOn = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'proxy-authenticate',
  'proxy-authorization',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'expect',
  'forwarded',
  'x-forwarded-for',
  'x-forwarded-host',
  'x-forwarded-proto',
  releaseHeader,
]);

const notPassedBack = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'proxy-authenticate',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  releaseHeader,
]);

export interface Forwarded {
  readonly path: string;
  readonly headers: string[];
  readonly hasBody: boolean;
}

/** What the application is sent, or nothing where the request can't be passed on safely (the answer is 400). */
export function forwardedRequest(request: IncomingMessage): Forwarded | undefined {
  const url = request.url ?? '/';
  let path = url;
  let host = request.headers.host;
  // RFC 9112, 3.2.2: the absolute form names the host, whatever the Host header says.
  if (url.charCodeAt(0) !== 47) {
    const absolute = URL.parse(url);
    if (absolute?.protocol !== 'http:') return undefined;
    path = absolute.pathname + absolute.search;
    host = absolute.host;
  }
  const named = connectionNames(request.headers.connection);
  const raw = request.rawHeaders;
  const headers: string[] = [];
  let hosts = 0;
  for (let i = 0; i < raw.length; i += 2) {
    const name = (raw[i] as string).toLowerCase();
    // Two hosts: we would route by one and the application answer for the other.
    if (name === 'host') hosts++;
    else if (!notPassedOn.has(name) && named?.has(name) !== true) headers.push(name, raw[i + 1] as string);
  }
  if (hosts > 1) return undefined;
  if (host !== undefined) headers.push('host', host, 'x-forwarded-host', host);
  headers.push('x-forwarded-proto', 'http', 'x-forwarded-for', request.socket.remoteAddress ?? 'unknown');
  const length = request.headers['content-length'];
  const hasBody = request.headers['transfer-encoding'] !== undefined || (length !== undefined && length !== '0');
  return { path, headers, hasBody };
}

/** The application's headers as `writeHead` takes them: names and values in turn. */
export function passedBack(headers: IncomingHttpHeaders, release: string): (string | string[])[] {
  const { connection } = headers;
  const named = typeof connection === 'string' ? connectionNames(connection) : undefined;
  const out: (string | string[])[] = [releaseHeader, release];
  for (const name in headers) {
    const value = headers[name];
    if (value !== undefined && !notPassedBack.has(name) && named?.has(name) !== true) out.push(name, value);
  }
  return out;
}

/** Headers that `Connection` declares to be of this connection only. The usual values name none, and cost nothing. */
function connectionNames(connection: string | undefined): Set<string> | undefined {
  if (connection === undefined || connection === 'keep-alive' || connection === 'close') return undefined;
  return new Set(connection.toLowerCase().split(',').map((name) => name.trim()));
}
