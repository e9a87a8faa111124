import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { createSecureContext } from 'node:tls';
import { CairnError } from '#core';
import type { Tls } from './backend.ts';

export interface Handlers {
  handle(request: IncomingMessage, response: ServerResponse, expects: boolean): void;
  /** Whether the request is a WebSocket's and there is an application to take it. */
  wantsUpgrade(request: IncomingMessage): boolean;
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void;
}

export interface Listener {
  readonly port: number;
  /** @throws CairnError `invalid-configuration` */
  setTls(tls: Tls): void;
  /** No new connections; resolves when those that are open have closed. */
  close(): Promise<void>;
  cut(): void;
}

const options = {
  // Longer than the idle time of the usual load balancers, so that it is them who close, never we under their next request.
  keepAliveTimeout: 65_000,
  // No limit for a whole request: an upload may take hours. The head has one, and a body may not stall.
  requestTimeout: 0,
  headersTimeout: 30_000,
  optimizeEmptyRequests: true,
  noDelay: true,
  // Clients that vanished are found, else their event streams would stay for ever.
  keepAlive: true,
  keepAliveInitialDelay: 60_000,
} as const;

/** The strict parser is Node's own: the outer side is where everyone can send anything. @throws CairnError `port-taken`, `invalid-configuration` */
export async function openListener(environment: string, host: string, port: number, tls: Tls | undefined, handlers: Handlers): Promise<Listener> {
  const all = { ...options, shouldUpgradeCallback: (request: IncomingMessage) => handlers.wantsUpgrade(request) };
  const secure = tls === undefined ? undefined : createSecureServer({ ...all, ...checked(environment, tls), minVersion: 'TLSv1.2', ALPNProtocols: ['http/1.1'] });
  const server: Server = secure ?? createServer(all);
  // Past Node's default number the rest would be dropped in silence, and with it whatever an attacker put there.
  server.maxHeadersCount = 0;
  server.on('request', (request, response) => handlers.handle(request, response, false));
  server.on('checkContinue', (request, response) => handlers.handle(request, response, true));
  server.on('upgrade', (request, socket, head) => handlers.upgrade(request, socket, head));
  server.on('connect', (_, socket) => socket.on('error', () => {}).end('HTTP/1.1 405 Method Not Allowed\r\nconnection: close\r\ncontent-length: 0\r\n\r\n'));
  await listening(server, host, port, environment);
  return {
    port: (server.address() as AddressInfo).port,
    setTls(renewed) {
      if (secure === undefined) throw new CairnError('invalid-configuration', `${environment} does not listen with TLS`, { fix: 'Give it a certificate and a key, and start again' });
      secure.setSecureContext({ ...checked(environment, renewed), minVersion: 'TLSv1.2' });
    },
    close: () => new Promise((resolve) => server.close(() => resolve())),
    cut: () => server.closeAllConnections(),
  };
}

/** Before anything changes: a key of another certificate would otherwise be met by the first client. */
function checked(environment: string, tls: Tls): Tls {
  try {
    // It would be taken for none.
    if (tls.cert === '' || tls.key === '') throw new Error('one of them is empty');
    createSecureContext(tls);
    return tls;
  } catch (cause) {
    throw new CairnError('invalid-configuration', `the certificate and key of ${environment} can't be used: ${cause instanceof Error ? cause.message : 'malformed'}`, {
      fix: 'Give both as PEM: the certificate with its chain, and the key that belongs to it',
      cause,
    });
  }
}

async function listening(server: Server, host: string, port: number, environment: string): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => {
      server.off('error', reject);
      resolve();
    });
  }).catch((cause: NodeJS.ErrnoException) => {
    if (cause.code !== 'EADDRINUSE' && cause.code !== 'EACCES' && cause.code !== 'EADDRNOTAVAIL') throw cause;
    const reason = cause.code === 'EADDRINUSE' ? 'is taken by another program' : `can't be opened (${cause.code})`;
    throw new CairnError('port-taken', `port ${port} of ${host}, meant for ${environment}, ${reason}`, {
      fix: `Stop the program that listens on it, or give ${environment} another port in the server's configuration`,
      context: { environment, host, port },
      cause,
    });
  });
}
