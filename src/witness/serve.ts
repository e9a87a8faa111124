import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { asCairnError, CairnError } from '#core';
import { mostRequestBytes } from './request.ts';
import type { Answer } from './witness.ts';

export interface WitnessServer {
  readonly url: string;
  close(): Promise<void>;
}

export interface ServeOptions {
  readonly host: string;
  readonly port: number;
  readonly add: (body: Uint8Array) => Answer;
  readonly report: (error: CairnError) => void;
  /** How long one request may take to arrive; 10 s where it is left out. */
  readonly requestMs?: number;
}

/** More logs than this do not ask at one time; more connections than this are somebody's attack. */
const mostConnections = 256;

/**
 * Serves `POST /add-checkpoint`. It may stand open to the world: bodies, headers, connections and their times are bounded, and what is not a checkpoint of a known log costs one parse.
 * @throws CairnError `port-taken`
 */
export async function serveWitness({ host, port, add, report, requestMs = 10_000 }: ServeOptions): Promise<WitnessServer> {
  const server = createServer({ maxHeaderSize: 8192, requestTimeout: requestMs, headersTimeout: requestMs, keepAliveTimeout: 60_000, connectionsCheckingInterval: 500 }, (request, response) => {
    void respond(request, response, add).catch((thrown: unknown) => {
      report(asCairnError(thrown));
      // Not persisted, or not known to be: nothing is vouched for.
      if (response.headersSent) response.destroy();
      else end(response, 500, 'text/plain; charset=utf-8', 'the witness cannot remember it now\n');
    });
  });
  server.maxConnections = mostConnections;
  await listen(server, host, port);
  return {
    url: `http://${host.includes(':') ? `[${host}]` : host}:${(server.address() as AddressInfo).port}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function respond(request: IncomingMessage, response: ServerResponse, add: ServeOptions['add']): Promise<void> {
  if (request.url !== '/add-checkpoint') return end(response, 404, 'text/plain; charset=utf-8', 'POST /add-checkpoint\n');
  if (request.method !== 'POST') {
    response.setHeader('allow', 'POST');
    return end(response, 405, 'text/plain; charset=utf-8', 'POST /add-checkpoint\n');
  }
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.byteLength;
    if (size > mostRequestBytes) {
      response.setHeader('connection', 'close');
      return end(response, 413, 'text/plain; charset=utf-8', `more than ${mostRequestBytes} bytes\n`);
    }
    chunks.push(chunk);
  }
  const answer = add(Buffer.concat(chunks));
  end(response, answer.status, answer.type, answer.body);
}

function end(response: ServerResponse, status: number, type: string, body: string): void {
  response.writeHead(status, { 'content-type': type, 'content-length': Buffer.byteLength(body) }).end(body);
}

function listen(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => {
      const taken = cause.code === 'EADDRINUSE';
      reject(new CairnError(taken ? 'port-taken' : 'invalid-configuration', `${host}:${port} cannot be listened on: ${cause.message}`, { cause, fix: 'Give another --port or --host' }));
    });
    server.listen(port, host, () => resolve());
  });
}
