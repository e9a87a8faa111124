import { once } from 'node:events';
import { createServer, request as httpRequest, type IncomingMessage, type RequestListener, type Server } from 'node:http';
import { connect, createServer as createTcpServer, type AddressInfo, type Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import type { TestContext } from 'node:test';
import { digestOf, type Clock } from '#core';
import { createGateway, type Backend, type Gateway, type GatewayOptions, type ListenOptions, type Route } from '#gateway';

// For tests: applications that listen, a gateway before them, and clients that send what no client library would.

const clock: Clock = { now: () => new Date(), elapsed: () => performance.now() };

export async function application(t: TestContext, listener: RequestListener, adjust?: (server: Server) => void): Promise<string> {
  const server = createServer(listener);
  adjust?.(server);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** An application down to its bytes. */
export async function rawApplication(t: TestContext, connected: (socket: Socket) => void): Promise<string> {
  const sockets = new Set<Socket>();
  const server = createTcpServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {}).on('close', () => sockets.delete(socket));
    connected(socket);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** Answers every request with the same bytes. */
export function saying(t: TestContext, bytes: string | Buffer): Promise<string> {
  return rawApplication(t, (socket) => socket.on('data', () => socket.write(bytes)));
}

export function backend(name: string, ...origins: string[]): Backend {
  return { application: 'shop', component: 'web', content: digestOf(name), release: digestOf(`release ${name}`), origins, directory: null };
}

export function folder(name: string, directory: string): Backend {
  return { ...backend(name), directory };
}

/** All of the environment goes to one backend. */
export function whole(to: Backend | undefined, before: Backend | null = null): Route[] {
  return to === undefined ? [] : [{ host: null, path: '/', split: [{ backend: to, weight: 100 }], assets: before }];
}

export function split(former: Backend, live: Backend, weight: number): Route[] {
  return [{ host: null, path: '/', split: [{ backend: former, weight: 100 - weight }, { backend: live, weight }], assets: null }];
}

export interface Opened {
  readonly gateway: Gateway;
  readonly port: number;
  readonly url: string;
}

export async function opened(t: TestContext, options: Partial<GatewayOptions> = {}, listen: ListenOptions = {}): Promise<Opened> {
  const gateway = createGateway({ clock, ...options });
  const { port } = await gateway.listen('production', '127.0.0.1', 0, listen);
  t.after(() => gateway.close(100));
  return { gateway, port, url: `${listen.tls === undefined ? 'http' : 'https'}://127.0.0.1:${port}` };
}

export type Answer = IncomingMessage & { body: string };

/** With node:http, since fetch forbids some of the headers that matter here. */
export async function call(url: string, headers: Record<string, string | string[]> = {}, method = 'GET', path = '/', body?: string): Promise<Answer> {
  const request = httpRequest(new URL(url), { method, headers, path, agent: false });
  request.end(body);
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  return Object.assign(response, { body: await text(response) });
}

/** Sends bytes and reads until the other side ends the connection: a request in them asks for that, or is refused. */
export async function exchange(port: number, bytes: string | Buffer): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => {});
  socket.write(bytes);
  return text(socket).catch(() => '');
}

/** Reads until the text is there. */
export async function until(socket: Socket, wanted: string | RegExp): Promise<string> {
  let all = '';
  const found = () => (typeof wanted === 'string' ? all.includes(wanted) : wanted.test(all));
  return new Promise((resolve, reject) => {
    const data = (piece: Buffer) => {
      all += piece.toString('latin1');
      if (!found()) return;
      socket.off('data', data).off('close', closed);
      resolve(all);
    };
    const closed = () => reject(new Error(`the connection closed after ${JSON.stringify(all)}`));
    socket.on('data', data).on('close', closed);
  });
}

export async function inFlight({ gateway }: Opened, name: string, count: number): Promise<void> {
  for (const end = performance.now() + 5_000; gateway.counts(digestOf(name)).inFlight !== count; await new Promise(setImmediate)) {
    if (performance.now() > end) throw new Error(`${gateway.counts(digestOf(name)).inFlight} in flight on ${name}, not ${count}`);
  }
}

/** Two certificates that nobody trusts, with their keys, which guard nothing. */
export const certificates = [
  {
    cert: `-----BEGIN CERTIFICATE-----
MIIBrTCCAVKgAwIBAgIUOP41rAqdXPYY2cHXQmJh5Tkt/QswCgYIKoZIzj0EAwIw
GDEWMBQGA1UEAwwNc2hvcDEuZXhhbXBsZTAgFw0yNjExMjQxODU1MDNaGA8yMTI2
MTAzMTE4NTUwM1owGDEWMBQGA1UEAwwNc2hvcDEuZXhhbXBsZTBZMBMGByqGSM49
AgEGCCqGSM49AwEHA0IABIUNxjGCVIwmjvZW7A8Y52cmxTyFszT6Gc+Ni2evOlX2
qinYLEee6x7Pl+VKK9GQ9p1/I3fbKIrE4aAmLQRXzHujeDB2MB0GA1UdDgQWBBRh
Y+O3W9t6weHpBlWW8UqXbwvjdzAfBgNVHSMEGDAWgBRhY+O3W9t6weHpBlWW8UqX
bwvjdzAPBgNVHRMBAf8EBTADAQH/MCMGA1UdEQQcMBqCCWxvY2FsaG9zdIINc2hv
cDEuZXhhbXBsZTAKBggqhkjOPQQDAgNJADBGAiEA8os8VOITdcGsS8cXMv2sm4HV
7vnBzV7xANayzQdw7QICIQCYBB3x29Thn/mQC4oh8U3inRUjM6qTac/Fovu7J4/8
Xg==
-----END CERTIFICATE-----`,
    key: `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgYGjI49q32OPyOX0Y
5ComUaXCgffTwePS7YEF1JjMhNahRANCAASFDcYxglSMJo72VuwPGOdnJsU8hbM0
+hnPjYtnrzpV9qop2CxHnusez5flSivRkPadfyN32yiKxOGgJi0EV8x7
-----END PRIVATE KEY-----`,
  },
  {
    cert: `-----BEGIN CERTIFICATE-----
MIIBrDCCAVKgAwIBAgIUCNz5qNrZsQTayaAM27ccDprh1tQwCgYIKoZIzj0EAwIw
GDEWMBQGA1UEAwwNc2hvcDIuZXhhbXBsZTAgFw0yNjExMjQxODU1MDNaGA8yMTI2
MTAzMTE4NTUwM1owGDEWMBQGA1UEAwwNc2hvcDIuZXhhbXBsZTBZMBMGByqGSM49
AgEGCCqGSM49AwEHA0IABEjNWRRB7VmgE0kXEBdeSYvktFPWbE/V3gszguVAl3HV
RfYqCd95YO0MUD0fIEoQOSZCjWY1hVBcK1SbJScCpgejeDB2MB0GA1UdDgQWBBS0
fFnNlCiH0rM6ZYk3ICmdO75jCzAfBgNVHSMEGDAWgBS0fFnNlCiH0rM6ZYk3ICmd
O75jCzAPBgNVHRMBAf8EBTADAQH/MCMGA1UdEQQcMBqCCWxvY2FsaG9zdIINc2hv
cDIuZXhhbXBsZTAKBggqhkjOPQQDAgNIADBFAiByogojYAuhqsOY3vg7flgiL+RK
0gyroDiye/Tex7Zk6QIhANGDoEc9D7N7HGohXslNuqPO2AepfjswnU1xoN2XYFap
-----END CERTIFICATE-----`,
    key: `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgiPThVQfB8GCbuL+0
Qs1e2K8D+zOs92q8nqV0eASWYRqhRANCAARIzVkUQe1ZoBNJFxAXXkmL5LRT1mxP
1d4LM4LlQJdx1UX2KgnfeWDtDFA9HyBKEDkmQo1mNYVQXCtUmyUnAqYH
-----END PRIVATE KEY-----`,
  },
] as const;
