import { execFile, fork, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect, createServer, type AddressInfo } from 'node:net';
import { availableParallelism, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { CairnError } from '#core';
import { pathOf, skipWithout } from '../peers/tools.ts';
import type { Report } from './bench.ts';

// The gateway beside Caddy and HAProxy: the same two backends at equal weights, clients that stay with their backend by a
// cookie, metrics on, wrk's kept connections; in turn, round by round, so that whatever else the machine does meets all three.

const connections = 64;
const seconds = 5;
const clients = 32;
/** Fewer rounds judge failures only. */
const rounds = 5;
/** Where few have it in their PATH. */
const debian = '/usr/sbin/haproxy';
const targets = { caddy: 1.5, haproxy: 0.5 };

interface Proxy {
  readonly name: string;
  readonly port: number;
  readonly child: ChildProcess;
  readonly cookies: readonly string[];
}

interface Run {
  readonly requests: number;
  readonly p50: number;
  readonly p99: number;
  readonly failed: number;
  /** Of the proxy's processor time, in microseconds for each request; NaN where the system does not tell. */
  readonly cpu: number;
}

export async function gateway(count: number, say: (line: string) => void): Promise<Report> {
  const skip = skipWithout('wrk', 'caddy', ...(existsSync(debian) ? [] : ['haproxy']));
  if (skip !== false) throw new CairnError('not-found', `the benchmark needs others to compare with: ${skip}`, { fix: 'Run .ci/install' });
  const [busy = 0] = loadavg();
  const folder = await mkdtemp(join(tmpdir(), 'cairn-'));
  const children: ChildProcess[] = [];
  try {
    const backends = [await ours(children, 'backend'), await ours(children, 'backend')];
    const started = [await cairn(children, backends), await caddy(children, folder, backends), await haproxy(children, folder, backends)];
    const proxies: Proxy[] = [];
    for (const one of started) proxies.push({ ...one, cookies: await visitors(one.port) });
    const runs = new Map<string, Run[]>(proxies.map(({ name }) => [name, []]));
    for (const proxy of proxies) await load(proxy, folder, 2);
    for (let round = 1; round <= count; round++) {
      for (const proxy of proxies) {
        const run = await load(proxy, folder, seconds);
        runs.get(proxy.name)?.push(run);
        say(`round ${round}  ${proxy.name.padEnd(8)} ${run.requests.toFixed(0).padStart(7)} requests a second, p99 ${run.p99.toFixed(2)} ms`);
      }
    }
    return reportOf(runs, count, busy, await shares(proxies));
  } finally {
    await Promise.all(children.map(ended));
    await rm(folder, { recursive: true, force: true });
  }
}

async function ours(children: ChildProcess[], ...words: string[]): Promise<number> {
  const child = fork(join(import.meta.dirname, 'gateway-side.ts'), words, { stdio: ['ignore', 'pipe', 'inherit', 'ipc'] });
  children.push(child);
  const [port] = (await once(child.stdout as NonNullable<typeof child.stdout>, 'data')) as [Buffer];
  return Number(port.toString());
}

async function cairn(children: ChildProcess[], backends: readonly number[]) {
  const port = await ours(children, 'gateway', ...backends.map(String));
  return { name: 'cairn', port, child: children.at(-1) as ChildProcess };
}

async function caddy(children: ChildProcess[], folder: string, backends: readonly number[]) {
  const port = await freePort();
  const load_balancing = { selection_policy: { policy: 'cookie', name: 'client', fallback: { policy: 'weighted_round_robin', weights: backends.map(() => 50) } } };
  const handle = [{ handler: 'reverse_proxy', upstreams: backends.map((backend) => ({ dial: `127.0.0.1:${backend}` })), load_balancing }];
  const server = { listen: [`127.0.0.1:${port}`], automatic_https: { disable: true }, protocols: ['h1'], routes: [{ handle }] };
  const file = join(folder, 'caddy.json');
  await writeFile(file, JSON.stringify({ admin: { disabled: true }, logging: { logs: { default: { level: 'ERROR' } } }, apps: { http: { metrics: {}, servers: { main: server } } } }));
  return { name: 'caddy', port, child: await other(children, folder, port, 'caddy', 'run', '--config', file) };
}

/** Its metrics are always counted; it serves them where it is told. */
async function haproxy(children: ChildProcess[], folder: string, backends: readonly number[]) {
  const port = await freePort();
  const file = join(folder, 'haproxy.cfg');
  await writeFile(file, `defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  option forwardfor
frontend main
  bind 127.0.0.1:${port}
  http-request set-header X-Forwarded-Proto http
  http-request set-header X-Forwarded-Host %[req.hdr(host)]
  http-request use-service prometheus-exporter if { path /metrics }
  default_backend both
backend both
  cookie client insert indirect nocache
  http-reuse always
${backends.map((backend, at) => `  server side${at} 127.0.0.1:${backend} weight 50 cookie side${at}\n`).join('')}`);
  return { name: 'haproxy', port, child: await other(children, folder, port, 'haproxy', '-db', '-f', file) };
}

async function other(children: ChildProcess[], home: string, port: number, tool: string, ...words: string[]): Promise<ChildProcess> {
  const path = tool === 'haproxy' && existsSync(debian) ? debian : pathOf(tool);
  const child = spawn(path, words, { stdio: ['ignore', 'ignore', 'inherit'], env: { HOME: home, PATH: process.env['PATH'] ?? '' } });
  children.push(child);
  for (let tries = 0; tries < 200; tries++) {
    if (child.exitCode !== null) break;
    if (await answers(port)) return child;
    await sleep(50);
  }
  throw new CairnError('unreachable', `${tool} did not start`);
}

/** First visits, as many clients make them: each proxy's own cookie that keeps one on a side. */
async function visitors(port: number): Promise<string[]> {
  const cookies: string[] = [];
  for (let at = 0; at < clients; at++) {
    const answer = await fetch(`http://127.0.0.1:${port}/`);
    await answer.arrayBuffer();
    const [cookie] = answer.headers.getSetCookie();
    if (cookie === undefined) throw new CairnError('internal', `port ${port} keeps nobody on a side`);
    cookies.push(cookie.split(';', 1)[0] ?? '');
  }
  return cookies;
}

async function load({ port, child, cookies }: Proxy, folder: string, forSeconds: number): Promise<Run> {
  const script = join(folder, 'load.lua');
  await writeFile(script, `local cookies = { ${cookies.map((cookie) => JSON.stringify(cookie)).join(', ')} }
local requests, at = {}, 0
init = function()
  for i, cookie in ipairs(cookies) do
    requests[i] = wrk.format('GET', '/catalogue/lamps?page=2', { Cookie = cookie, Accept = 'text/html', ['User-Agent'] = 'wrk' })
  end
end
request = function()
  at = at % #requests + 1
  return requests[at]
end
done = function(summary, latency)
  local e = summary.errors
  io.write(string.format('TOTAL %d %d %d %d %d\\n', summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), e.connect + e.read + e.write + e.status + e.timeout))
end
`);
  const before = processorMs(child.pid);
  const { stdout } = await promisify(execFile)(pathOf('wrk'), ['-t1', `-c${connections}`, `-d${forSeconds}s`, '-s', script, `http://127.0.0.1:${port}`]);
  const spent = processorMs(child.pid) - before;
  const [requests = 0, duration = 0, p50 = 0, p99 = 0, failed = 0] = (/^TOTAL (.*)$/m.exec(stdout)?.[1] ?? '').split(' ').map(Number);
  return { requests: requests / (duration / 1e6), p50: p50 / 1e3, p99: p99 / 1e3, failed, cpu: (spent * 1e3) / requests };
}

/** Requests by release, as Cairn counted them. */
async function shares(proxies: readonly Proxy[]): Promise<readonly number[]> {
  const child = proxies.find(({ name }) => name === 'cairn')?.child;
  child?.send('metrics');
  const [text] = (await once(child as ChildProcess, 'message')) as [string];
  return [...text.matchAll(/^cairn_gateway_requests_total\{.*\} (\d+)$/gm)].map(([, requests]) => Number(requests));
}

function reportOf(runs: ReadonlyMap<string, readonly Run[]>, count: number, busy: number, byRelease: readonly number[]): Report {
  const middle = (name: string, of: keyof Run) => median((runs.get(name) ?? []).map((run) => run[of]));
  const missed = [...runs].flatMap(([name, all]) => {
    const failed = all.reduce((sum, run) => sum + run.failed, 0);
    return failed > 0 && name === 'cairn' ? [`${failed} requests failed`] : [];
  });
  if (byRelease.length !== 2 || byRelease.some((requests) => requests === 0)) missed.push(`the releases got ${byRelease.join(' and ')} requests`);
  const ratio = (name: string) => middle('cairn', 'requests') / middle(name, 'requests');
  if (count >= rounds) {
    for (const [name, target] of Object.entries(targets)) if (!(ratio(name) >= target)) missed.push(`${ratio(name).toFixed(2)} times the requests a second of ${name}, target ${target}`);
    if (!(middle('cairn', 'p99') <= middle('caddy', 'p99'))) missed.push(`p99 ${middle('cairn', 'p99').toFixed(2)} ms, caddy's is ${middle('caddy', 'p99').toFixed(2)} ms`);
  }
  return {
    title: `gateway, medians of ${count} rounds of ${seconds} s, ${connections} connections; targets: ${targets.caddy} times Caddy and ${targets.haproxy} times HAProxy, p99 no worse than Caddy's`,
    tables: [
      {
        columns: ['', 'requests a second', 'p50 ms', 'p99 ms', 'processor us a request', 'failed', "cairn's times"],
        rows: [...runs.keys()].map((name) => [
          name,
          middle(name, 'requests').toFixed(0),
          middle(name, 'p50').toFixed(2),
          middle(name, 'p99').toFixed(2),
          middle(name, 'cpu').toFixed(1),
          String((runs.get(name) ?? []).reduce((sum, run) => sum + run.failed, 0)),
          name === 'cairn' ? '' : ratio(name).toFixed(2),
        ]),
      },
      { columns: ['', ''], rows: [['requests by release', byRelease.join(' and ')], ['processors', String(availableParallelism())], ['load average before the start', busy.toFixed(2)]] },
    ],
    missed,
  };
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return ((sorted[Math.floor((sorted.length - 1) / 2)] ?? Number.NaN) + (sorted[Math.ceil((sorted.length - 1) / 2)] ?? Number.NaN)) / 2;
}

/** User and system time of a process, from Linux. */
function processorMs(pid: number | undefined): number {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'latin1').replace(/^.*\) /s, '').split(' ');
    return (Number(fields[11]) + Number(fields[12])) * 10;
  } catch {
    return Number.NaN;
  }
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  return port;
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exit = once(child, 'exit');
  child.kill('SIGKILL');
  await exit;
}
