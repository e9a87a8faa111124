import { connect, type NetConnectOpts } from 'node:net';
import { join } from 'node:path';
import type { CairnError, ErrorCode } from '#core';
import type { System } from './context.ts';

// What the commands that are asked all day use to ask: a socket, and one GET of HTTP/1.0, which ends with the connection. node:http
// alone takes longer to load than the whole question. It speaks to our own two processes only; all else goes through `#server`.

// Got and not imported: an import makes every name of the module, and some load much that is never used.
const { readFileSync } = process.getBuiltinModule('node:fs');

export interface Near {
  readonly url: string;
  readonly socket: string;
  readonly environments: readonly { readonly name: string; readonly url: string }[];
  /** Asks the control server. @throws CairnError as the server threw it; `unreachable` */
  server<T>(path: string): Promise<T>;
  /** Asks the runner. */
  runner<T>(path: string): Promise<T>;
}

/** This machine's home, as far as asking needs it. @throws CairnError `not-initialized`, `invalid-configuration` */
export async function near(system: System): Promise<Near> {
  try {
    const { host, port, environments } = JSON.parse(readFileSync(join(system.home, 'cairn.json'), 'utf8')) as { host: string; port: number; environments: { name: string; port: number }[] };
    const token = readFileSync(join(system.home, 'token'), 'utf8').trim();
    const socket = join(system.home, 'runner.sock');
    return {
      url: `http://${host}:${port}`, socket,
      environments: environments.map((one) => ({ name: one.name, url: `http://${host}:${one.port}` })),
      server: (path) => ask({ host, port }, path, `host: ${host}:${port}\r\nauthorization: Bearer ${token}`),
      runner: (path) => ask({ path: socket }, path, 'host: runner'),
    };
  } catch {
    // Slowly and in words.
    const { openHome, readToken } = await import('#home');
    await readToken((await openHome(system.home)).paths);
    throw await failure('invalid-configuration', `${join(system.home, 'cairn.json')} is damaged`, 'Mend it or restore it from a backup');
  }
}

const answerMs = 10_000;

async function ask<T>(where: NetConnectOpts, path: string, headers: string): Promise<T> {
  let reply: Reply;
  try {
    reply = await call(where, path, headers);
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'unreachable') throw cause;
    throw await failure('unreachable', 'path' in where ? 'no runner answers' : 'no control server answers', 'cairn up', cause);
  }
  const value = JSON.parse(reply.body.toString('utf8')) as T & { error?: { code: ErrorCode; message: string; fix: string | null; context: Record<string, unknown> } };
  if (reply.status === 200) return value;
  const { CairnError: Failure } = await import('#core');
  const { code = 'internal', message = `it answered ${reply.status}`, fix = null, context = {} } = value.error ?? {};
  throw new Failure(code, message, { ...(fix !== null && { fix }), context });
}

export interface Reply {
  readonly status: number;
  /** By its name in lower case. */
  header(name: string): string | undefined;
  readonly body: Buffer;
}

/** One GET on a connection of its own. @throws Error where nobody answers, or the answer breaks off; CairnError `unreachable` for the latter */
export async function call(where: NetConnectOpts, path: string, headers: string, patienceMs = answerMs): Promise<Reply> {
  const bytes = await exchange(where, patienceMs, `GET ${path} HTTP/1.0\r\n${headers}\r\n\r\n`);
  const end = bytes.indexOf('\r\n\r\n');
  const head = bytes.toString('latin1', 0, Math.max(end, 0) + 2);
  const body = bytes.subarray(end + 4);
  const header = (name: string) => new RegExp(`\\r\\n${name}: *([^\\r]*)\\r\\n`, 'i').exec(head)?.[1];
  const length = header('content-length');
  // A server that is killed in the middle of its answer must not read as one that knows less.
  if (end < 0 || (length !== undefined && body.byteLength !== Number(length))) throw await failure('unreachable', 'the answer broke off', 'Ask again');
  return { status: Number(/^HTTP\/1\.[01] (\d{3})/.exec(head)?.[1]), header, body };
}

function exchange(where: NetConnectOpts, patienceMs: number, request: string): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    const socket = connect(where);
    socket.setTimeout(patienceMs, () => socket.destroy(new Error('it does not answer')));
    socket.on('data', (chunk: Buffer) => chunks.push(chunk)).on('error', reject).on('end', () => resolve(Buffer.concat(chunks)));
    // Not ended: a server that sees the end of a request may take it for one that nobody waits for.
    socket.write(request);
  });
}

async function failure(code: ErrorCode, message: string, fix: string, cause?: unknown): Promise<CairnError> {
  const { CairnError: Failure } = await import('#core');
  return new Failure(code, message, { fix, cause, retryable: code === 'unreachable' });
}
