import { once } from 'node:events';
import { request, type ClientRequest, type IncomingMessage } from 'node:http';
import { randomBytes } from 'node:crypto';
import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

// What is not a short request, in a process of its own: slow answers, uploads, WebSockets and event streams, a few of each all
// the time. A stream may be cut, but only when the drain deadline after a switch has passed; a request may not.

export interface MixedTotals {
  readonly kind: 'mixed';
  /** Finished, by kind. */
  readonly done: Readonly<Record<string, number>>;
  /** Streams that ended at a drain deadline, by kind. */
  readonly cut: Readonly<Record<string, number>>;
  readonly failed: Readonly<Record<string, number>>;
}

const [url = '', drain = ''] = process.argv.slice(2);
const { hostname: host, port } = new URL(url);
const drainMs = Number(drain);
const done: Record<string, number> = {};
const cut: Record<string, number> = {};
const failed: Record<string, number> = {};
/** When traffic was switched, by our parent's word: a stream that is older may be cut `drainMs` later, and not before. */
let switchedAt: number[] = [];
let stopping = false;

const add = (to: Record<string, number>, name: string) => (to[name] = (to[name] ?? 0) + 1);

function ask(method: string, path: string, headers: Record<string, string> = {}): ClientRequest {
  return request({ host, port, method, path, headers, agent: false });
}

async function answered(asked: ClientRequest): Promise<IncomingMessage> {
  const [response] = (await once(asked, 'response')) as [IncomingMessage];
  return response;
}

async function slow(): Promise<void> {
  const asked = ask('GET', '/slow');
  asked.end();
  const response = await answered(asked);
  const text = (await response.toArray()).join('');
  if (response.statusCode !== 200 || text.length !== 10 * 1024) throw new Error(`slow: ${response.statusCode}, ${text.length} bytes`);
}

async function upload(): Promise<void> {
  const body = randomBytes(64 * 1024);
  const asked = ask('POST', '/upload', { 'content-length': String(body.byteLength * 6) });
  const response = answered(asked);
  response.catch(() => {});
  for (let part = 0; part < 6; part++) {
    asked.write(body);
    await sleep(60);
  }
  asked.end();
  const { statusCode } = (await response).resume();
  if (statusCode !== 200) throw new Error(`upload: ${statusCode}`);
}

async function events(): Promise<void> {
  const asked = ask('GET', '/events');
  asked.end();
  const response = await answered(asked);
  const born = performance.now();
  let last = performance.now();
  response.on('data', () => (last = performance.now()));
  const ended = new Promise<void>((resolve) => response.once('close', resolve));
  await Promise.race([ended, sleep(4_000)]);
  if (response.closed || response.destroyed) judgeCut('events', born);
  else if (performance.now() - last > 1_000) throw new Error('events: silent');
  asked.destroy();
}

async function socket(): Promise<void> {
  const asked = ask('GET', '/socket', { connection: 'Upgrade', upgrade: 'websocket', 'sec-websocket-version': '13', 'sec-websocket-key': randomBytes(16).toString('base64') });
  asked.end();
  const [response, stream] = (await Promise.race([once(asked, 'upgrade'), answered(asked).then((one) => [one, undefined])])) as [IncomingMessage, Socket | undefined];
  if (stream === undefined) throw new Error(`socket: ${response.statusCode}`);
  const born = performance.now();
  stream.on('error', () => {});
  let echoed = 0;
  stream.on('data', (chunk: Buffer) => (echoed += chunk.byteLength));
  const ended = new Promise<void>((resolve) => stream.once('close', resolve));
  let sent = 0;
  for (const start = performance.now(); performance.now() - start < 4_000 && !stream.destroyed; ) {
    stream.write('ping');
    sent += 4;
    await Promise.race([ended, sleep(100)]);
  }
  if (stream.destroyed || stream.readableEnded) judgeCut('socket', born);
  else if (sent - echoed > 40) throw new Error(`socket: ${sent} sent, ${echoed} echoed`);
  stream.destroy();
}

/** @throws where the stream ended by anything but a drain deadline */
function judgeCut(name: string, born: number): void {
  const now = performance.now();
  const due = switchedAt.some((at) => at >= born && now - at >= drainMs - 100 && now - at <= drainMs + 3_000);
  if (!due) throw new Error(`${name}: cut ${switchedAt.map((at) => Math.round(now - at)).slice(-1)[0] ?? 'without a switch'} ms after a switch`);
  add(cut, name);
}

async function keep(name: string, work: () => Promise<void>): Promise<void> {
  while (!stopping) {
    try {
      await work();
      add(done, name);
    } catch (error) {
      if (!stopping) add(failed, error instanceof Error ? `${name}: ${(error as NodeJS.ErrnoException).code ?? ''} ${error.message}` : name);
      await sleep(50);
    }
  }
}

const running = Promise.all([...Array.from({ length: 4 }, () => keep('slow', slow)), ...Array.from({ length: 4 }, () => keep('upload', upload)), ...Array.from({ length: 4 }, () => keep('events', events)), ...Array.from({ length: 4 }, () => keep('socket', socket))]);
process.on('message', (word: 'switched' | 'stop') => {
  if (word === 'switched') switchedAt = [...switchedAt.slice(-50), performance.now()];
  else stopping = true;
});
process.once('disconnect', () => process.exit());
process.send?.({ kind: 'running' });
await running;
process.send?.({ kind: 'mixed', done, cut, failed } satisfies MixedTotals);
process.disconnect?.();
