import { Agent, request, type IncomingHttpHeaders } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

export interface Seen {
  /** When the first and the last answer of a release came, by the monotonic clock. */
  first: number;
  last: number;
  count: number;
}

export interface Counts {
  readonly requests: number;
  readonly failed: number;
  /** What went wrong, once each. */
  readonly complaints: readonly string[];
  /** Orders that were taken: each must get its receipt. */
  readonly orders: readonly string[];
}

export interface Load {
  readonly counts: () => Counts;
  /** By release digest, as the gateway's header names it. */
  readonly seen: ReadonlyMap<string, Seen>;
  stop(): Promise<Counts>;
}

interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/**
 * What visitors do, over kept connections and without a break: a page, then the style sheet that it names; and orders. Each lane
 * takes a breath between two requests, so that the builds beside it get their share of the machine. A failure is any answer but
 * the one that was due.
 */
export function startLoad(url: string, lanes: { readonly pages: number; readonly orders: number }): Load {
  const agent = new Agent({ keepAlive: true, maxSockets: lanes.pages + lanes.orders });
  const seen = new Map<string, Seen>();
  const orders: string[] = [];
  const complaints = new Set<string>();
  let [requests, failed, running] = [0, 0, true];

  async function ask(method: string, path: string, due: number, content?: string): Promise<Answer | undefined> {
    requests++;
    try {
      const answer = await exchange(agent, method, new URL(path, url), content);
      const release = String(answer.headers['cairn-release']);
      const now = performance.now();
      const known = seen.get(release);
      if (known === undefined) seen.set(release, { first: now, last: now, count: 1 });
      else Object.assign(known, { last: now, count: known.count + 1 });
      if (answer.status === due) return answer;
      complaints.add(`${method} ${path.replace(/[0-9a-f]{12}|[2-9A-Z]{8}/, '...')}: ${answer.status} instead of ${due}`);
    } catch (error) {
      complaints.add(`${method} ${path}: ${(error as Error).message}`);
    }
    failed++;
    return undefined;
  }

  async function visitor(): Promise<void> {
    while (running) {
      const page = await ask('GET', '/', 200);
      // The visitor's connection is slow: a switch may come between the page and its style sheet.
      await sleep(60);
      const style = /href="(\/assets\/[^"]+\.css)"/.exec(page?.body ?? '')?.[1];
      if (style !== undefined) await ask('GET', style, 200);
      await sleep(20);
    }
  }

  async function customer(): Promise<void> {
    const wanted = JSON.stringify({ name: 'Grace', items: [{ id: 'trio', quantity: 2 }, { id: 'pebble', quantity: 1 }] });
    while (running) {
      const answer = await ask('POST', '/api/orders', 201, wanted);
      if (answer !== undefined) orders.push((JSON.parse(answer.body) as { id: string }).id);
      await sleep(300);
    }
  }

  const working = [...Array.from({ length: lanes.pages }, visitor), ...Array.from({ length: lanes.orders }, customer)];
  const counts = (): Counts => ({ requests, failed, complaints: [...complaints], orders });
  return {
    seen,
    counts,
    stop: async () => {
      running = false;
      await Promise.all(working);
      agent.destroy();
      return counts();
    },
  };
}

function exchange(agent: Agent, method: string, url: URL, content?: string): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const headers = content === undefined ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(content) };
    request(url, { agent, method, headers }, (response) => {
      const chunks: Buffer[] = [];
      response.once('error', reject).on('data', (chunk: Buffer) => chunks.push(chunk));
      response.once('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(chunks).toString() }));
    })
      .once('error', reject)
      .end(content);
  });
}
