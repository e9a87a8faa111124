import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { getRequestListener } from '@hono/node-server';
import { asCairnError, CairnError } from '#core';
import { registryHandler, type ContentStore, type Repositories } from '#oci';
import { api, type ApiOptions } from './api.ts';
import { isLocal } from './local.ts';
import { publicLog, type PublicLogOptions } from './public-log.ts';

export interface ServerOptions extends ApiOptions, Omit<PublicLogOptions, 'sigstore'> {
  readonly repositories: Repositories;
  readonly store: ContentStore;
  readonly host: string;
  readonly port: number;
  /** Called when the URL is known. */
  readonly sigstore: (url: string) => ReturnType<PublicLogOptions['sigstore']>;
}

export interface RunningServer {
  readonly url: string;
  close(): Promise<void>;
}

/** Opens the one port: /v2/ in bare node:http, where bytes flow; the API in hono, where people call. */
export async function startServer(options: ServerOptions): Promise<RunningServer> {
  const registry = registryHandler({ repositories: options.repositories, store: options.store });
  let url = '';
  const log = publicLog({ ...options, sigstore: () => options.sigstore(url) });
  const calls = getRequestListener(api(options).fetch);
  const server = createServer((request, response) => {
    if (!isLocal(request.headers)) return void response.writeHead(403).end();
    log(request, response)
      .then(async (handled) => handled || registry(request, response))
      .then((handled) => (handled ? undefined : calls(request, response)))
      .catch((error: unknown) => {
        // A handler that throws after its headers can only break off: the client must not take the part for the whole.
        if (response.headersSent) response.destroy();
        else response.writeHead(500, { 'content-type': 'application/json' }).end(JSON.stringify({ error: { code: 'internal', message: asCairnError(error).message, fix: null, context: {}, retryable: false } }));
      });
  });
  await listen(server, options.host, options.port);
  const { port } = server.address() as AddressInfo;
  url = `http://${options.host}:${port}`;
  return {
    url,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function listen(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => {
      const taken = cause.code === 'EADDRINUSE';
      reject(new CairnError(taken ? 'port-taken' : 'storage', `${host}:${port} cannot be listened on: ${cause.message}`, { cause, fix: taken ? 'Stop what listens there, or choose another port in cairn.json' : 'See the message' }));
    });
    server.listen(port, host, () => resolve());
  });
}
