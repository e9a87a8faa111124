import { chmod, lstat, rm } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { connect } from 'node:net';
import { z } from 'zod';
import { asCairnError, CairnError, type ErrorCode } from '#core';
import type { DataPlane } from './data-plane.ts';
import {
  planRequest,
  prepareRequest,
  probeRequest,
  retireRequest,
  rollbackRequest,
  schemaRequest,
  switchRequest,
  trafficRequest,
  watchRequest,
} from './protocol.ts';

/** A launch bears the environment of each of its components. */
const longestBody = 4 << 20;
/** Of the kernel, for the name of a socket (unix(7)), less the closing NUL. */
const longestSocketName = 103;

const statuses: Partial<Record<ErrorCode, number>> = {
  usage: 400,
  'malformed-document': 400,
  'invalid-configuration': 400,
  unauthorized: 403,
  'unknown-environment': 404,
  'not-found': 404,
  conflict: 409,
  'nothing-to-return-to': 409,
  'digest-mismatch': 422,
  'task-failed': 422,
  unhealthy: 422,
  unreachable: 503,
  storage: 507,
  'storage-full': 507,
};

type Handler = (request: IncomingMessage, url: URL) => Promise<unknown>;
/** Of metrics, the one answer that is text. */
const prometheus = 'text/plain; version=0.0.4; charset=utf-8';

/**
 * The runner's door for the control server. Who may open the socket may do all of it, so it is for its owner alone (0600); a
 * browser can't reach it, and a proxied request never does.
 * @throws CairnError `already-running`, `invalid-configuration`
 */
export async function openControlSocket(path: string, plane: DataPlane): Promise<Server> {
  if (Buffer.byteLength(path) > longestSocketName) {
    throw new CairnError('invalid-configuration', `the path of the runner's socket has more than ${longestSocketName} bytes: ${path}`, {
      fix: "Put the server's folder somewhere with a shorter path",
    });
  }
  const handlers = handlersOf(plane);
  // A kept connection is the client's to close: were it ours, a switch might be written into it just then.
  const server = createServer({ keepAliveTimeout: 0, requestTimeout: 0 }, (request, response) => void answer(handlers, request, response));
  await removeStale(path);
  const before = process.umask(0o177);
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      // The name is bound before `listen` returns, so that the socket never exists with another mode.
      server.listen(path, resolve);
      process.umask(before);
    });
  } finally {
    process.umask(before);
  }
  await chmod(path, 0o600);
  return server;
}

/** A killed runner leaves its socket behind. The folder's lock keeps two of us from judging it at once. */
async function removeStale(path: string): Promise<void> {
  const answered = await new Promise<boolean>((resolve) => {
    const socket = connect(path, () => {
      socket.destroy();
      resolve(true);
    }).on('error', () => resolve(false));
  });
  if (answered) throw new CairnError('already-running', `a runner answers at ${path}`, { fix: 'Use that one, or stop it first: cairn status' });
  const there = await lstat(path).catch(() => undefined);
  if (there === undefined) return;
  // A mistake in the configuration must not cost a file.
  if (!there.isSocket()) throw new CairnError('invalid-configuration', `${path} is meant for the runner's socket, but is something else`);
  await rm(path, { force: true });
}

function handlersOf(plane: DataPlane): ReadonlyMap<string, Handler> {
  const posted = <T extends z.ZodType>(schema: T, task: (request: z.infer<T>) => Promise<unknown>): Handler => async (request) => task(await body(request, schema));
  return new Map<string, Handler>([
    ['GET /v1/state', async () => plane.state()],
    ['GET /v1/journal', async (_, url) => plane.journal(after(url))],
    ['GET /v1/metrics', async () => plane.metrics()],
    ['POST /v1/prepare', posted(prepareRequest, (request) => plane.prepare(request))],
    ['POST /v1/probe', posted(probeRequest, (request) => plane.probe(request))],
    ['POST /v1/schema', posted(schemaRequest, (request) => plane.schema(request))],
    ['POST /v1/switch', posted(switchRequest, (request) => plane.switch(request))],
    ['POST /v1/watch', posted(watchRequest, (request) => plane.watch(request))],
    ['POST /v1/traffic', posted(trafficRequest, (request) => plane.traffic(request))],
    ['POST /v1/plan', posted(planRequest, (request) => plane.plan(request))],
    ['POST /v1/rollback', posted(rollbackRequest, (request) => plane.rollback(request))],
    ['POST /v1/retire', posted(retireRequest, (request) => plane.retire(request))],
  ]);
}

async function answer(handlers: ReadonlyMap<string, Handler>, request: IncomingMessage, response: ServerResponse): Promise<void> {
  try {
    const url = new URL(request.url ?? '/', 'http://runner');
    const handler = handlers.get(`${request.method} ${url.pathname}`);
    if (handler === undefined) throw new CairnError('not-found', `the runner has no ${request.method} ${url.pathname}`, { fix: 'Use a Cairn of its version' });
    send(response, 200, await handler(request, url));
  } catch (thrown) {
    const { code, message, fix = null, context } = asCairnError(thrown);
    send(response, statuses[code] ?? 500, { error: { code, message, fix, context } });
  }
}

function send(response: ServerResponse, status: number, value: unknown): void {
  const text = typeof value === 'string' ? value : undefined;
  const bytes = Buffer.from(text ?? JSON.stringify(value));
  const headers: Record<string, string | number> = { 'content-type': text === undefined ? 'application/json' : prometheus, 'content-length': bytes.byteLength };
  if (!response.req.complete) headers['connection'] = 'close';
  response.on('error', () => {});
  response.writeHead(status, headers).end(bytes);
}

async function body<T extends z.ZodType>(request: IncomingMessage, schema: T): Promise<z.infer<T>> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    if ((size += chunk.byteLength) > longestBody) throw malformed(`it has more than ${longestBody} bytes`);
    chunks.push(chunk);
  }
  let value: unknown;
  try {
    value = JSON.parse(Buffer.concat(chunks).toString('utf8'));
  } catch (cause) {
    throw malformed('it is not JSON', cause);
  }
  const result = schema.safeParse(value);
  // Of the values nothing is repeated: they may be secrets.
  if (!result.success) throw malformed(result.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`).join('; '));
  return result.data;
}

function after(url: URL): number {
  const text = url.searchParams.get('after') ?? '0';
  if (!/^\d{1,15}$/.test(text)) throw new CairnError('usage', 'after must be a sequence number');
  return Number(text);
}

function malformed(reason: string, cause?: unknown): CairnError {
  return new CairnError('malformed-document', `the request to the runner is not understood: ${reason}`, {
    fix: 'Use a server and a runner of one version of Cairn',
    cause,
  });
}
