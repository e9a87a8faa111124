import { Pool } from 'undici';

// The load of a benchmark, in a process of its own: connections that are kept, each asking again as soon as it was answered.

export type Order =
  | { readonly kind: 'watch'; readonly release: string }
  /** Asks for the first response of the watched release to a request that was sent at or after `since`. */
  | { readonly kind: 'first'; readonly since: string }
  | { readonly kind: 'stop' };

export type Word =
  | { readonly kind: 'running' }
  | { readonly kind: 'watching' }
  | { readonly kind: 'first'; readonly arrived: string }
  | { readonly kind: 'totals'; readonly requests: number; readonly failed: number; readonly connections: number; readonly seconds: number; readonly reasons: Readonly<Record<string, number>> };

const [url = '', count = '', ...known] = process.argv.slice(2);
const connections = Number(count);
const pool = new Pool(url, { connections, pipelining: 1 });
const started = process.hrtime.bigint();
const reasons: Record<string, number> = {};
let requests = 0;
let opened = 0;
let stopping = false;
let watched = '';
/** Of the watched release, by time of arrival. */
let seen: { readonly sent: bigint; readonly arrived: bigint }[] = [];
let since: bigint | undefined;

pool.on('connect', () => opened++);

function tell(word: Word): void {
  process.send?.(word);
}

function tellFirst(): void {
  if (since === undefined) return;
  const from = since;
  const first = seen.find(({ sent }) => sent >= from);
  if (first === undefined) return;
  since = undefined;
  watched = '';
  seen = [];
  tell({ kind: 'first', arrived: String(first.arrived) });
}

/** One request: undefined where it went well, else why not. */
async function ask(): Promise<string | undefined> {
  const sent = process.hrtime.bigint();
  try {
    const { statusCode, headers, body } = await pool.request({ path: '/', method: 'GET' });
    // The clock is CLOCK_MONOTONIC, which the processes of one machine share.
    const arrived = process.hrtime.bigint();
    const release = headers['cairn-release'];
    const text = await body.text();
    if (statusCode !== 200) return `status ${statusCode}`;
    if (typeof release !== 'string' || !known.includes(release)) return 'no known release in the header';
    // The application tells its own release: the header must not claim another.
    if (text !== release) return 'the header names another release than the one that answered';
    if (release === watched) {
      seen.push({ sent, arrived });
      tellFirst();
    }
    return undefined;
  } catch (error) {
    return error instanceof Error ? ((error as NodeJS.ErrnoException).code ?? error.message) : 'unknown';
  }
}

async function loop(): Promise<void> {
  while (!stopping) {
    const reason = await ask();
    requests++;
    if (reason !== undefined) reasons[reason] = (reasons[reason] ?? 0) + 1;
    if (requests === connections) tell({ kind: 'running' });
  }
}

const loops = Promise.all(Array.from({ length: connections }, loop));

process.on('message', (order: Order) => {
  if (order.kind === 'watch') {
    watched = order.release;
    seen = [];
    since = undefined;
    tell({ kind: 'watching' });
  } else if (order.kind === 'first') {
    since = BigInt(order.since);
    tellFirst();
  } else stopping = true;
});
// Whoever started us is gone: so are we.
process.once('disconnect', () => (stopping = true));

await loops;
const seconds = Number(process.hrtime.bigint() - started) / 1e9;
await pool.close();
if (process.connected) {
  tell({ kind: 'totals', requests, failed: Object.values(reasons).reduce((sum, one) => sum + one, 0), connections: opened, seconds, reasons });
  process.disconnect?.();
}
