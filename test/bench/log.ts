import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { promisify } from 'node:util';
import { makeStatement, predicateTypes, signEnvelope, subjectOf } from '#attest';
import { digestOf, noFaults, sha256, type Clock } from '#core';
import { readToken } from '#home';
import { openLedger } from '#ledger';
import { hashedRekord } from '#log';
import { generateSigner, spkiOf } from '#sign';
import { library } from '../support/library.ts';
import type { Figure, Report } from './bench.ts';

// The log under writers that wait for their answer, every one of them on the disk: in this process, over HTTP with the load in another,
// and Tessera's POSIX storage in the same run, tuned for blocking writers (its defaults are bound by timers). Medians of several rounds.

const run = promisify(execFile);
const targets = { perSecond: 5_000, p99: 250, single: 10, http: 1_500 };
const writers = 100;
const clock: Clock = { now: () => new Date(), elapsed: () => performance.now() };

interface Measured {
  /** Of this process, a thing written, in microseconds; of Tessera and of the load nothing is known. */
  readonly cpu?: number;
  readonly perSecond: number;
  readonly p50: number;
  readonly p99: number;
}

export async function emptyLog(path: string) {
  const keys = { origin: 'log.example.com', log: generateSigner('ed25519'), time: generateSigner('ed25519') };
  return { ledger: await openLedger({ path, keys, record: generateSigner('ecdsa'), clock, faults: noFaults }), keys };
}

const person = generateSigner('ecdsa');
const key = spkiOf(person.publicKey).toString('base64');
const content = person.sign(Buffer.from('any')).toString('base64');
let made = 0;

/** An entry of somebody: its signature is not looked at behind the HTTP side. */
export function anEntry() {
  return { body: hashedRekord(sha256(`entry ${made++}`).toString('base64'), content, { publicKey: key }), key };
}

export function aStatement() {
  const statement = { predicateType: predicateTypes.notes, subject: [subjectOf('shop', digestOf(`statement ${made++}`))], predicate: { since: null, commits: [] } };
  return { envelope: signEnvelope(makeStatement(statement), person), key };
}

async function write<T>(things: readonly T[], at: number, one: (thing: T) => Promise<unknown>): Promise<Measured> {
  const times: number[] = [];
  let next = 0;
  const cpu = process.cpuUsage();
  const start = performance.now();
  await Promise.all(
    Array.from({ length: at }, async () => {
      for (let thing = things[next++]; thing !== undefined; thing = things[next++]) {
        const begun = performance.now();
        await one(thing);
        times.push(performance.now() - begun);
      }
    }),
  );
  const took = (performance.now() - start) / 1000;
  times.sort((a, b) => a - b);
  const spent = process.cpuUsage(cpu);
  return { cpu: (spent.user + spent.system) / things.length, perSecond: things.length / took, p50: times[times.length >> 1] ?? 0, p99: times[Math.floor(times.length * 0.99)] ?? 0 };
}

const several = <T>(count: number, one: () => T): T[] => Array.from({ length: count }, one);

async function inProcess(folder: string): Promise<Record<string, Measured>> {
  const { ledger } = await emptyLog(join(folder, 'ledger.sqlite'));
  try {
    return {
      entries: await write(several(20_000, anEntry), writers, (one) => ledger.log(one)),
      statements: await write(several(10_000, aStatement), writers, (one) => ledger.commit([one])),
      'one writer, entries': await write(several(300, anEntry), 1, (one) => ledger.log(one)),
      'one writer, statements': await write(several(300, aStatement), 1, (one) => ledger.commit([one])),
    };
  } finally {
    await ledger.close();
  }
}

async function overHttp(): Promise<Record<string, Measured>> {
  const ends: (() => unknown)[] = [];
  const shop = await library({ after: (end: () => unknown) => ends.push(end) } as unknown as TestContext);
  const env = { ...process.env, CAIRN_BENCH_KEY: shop.signer.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(), CAIRN_BENCH_PUBLIC: spkiOf(shop.signer.publicKey).toString('base64') };
  const load = async (route: string, count: number) => {
    const cpu = process.cpuUsage();
    const { stdout } = await run(process.execPath, [join(import.meta.dirname, 'log-load.ts'), shop.url, await readToken(shop.home.paths), route, String(count), String(writers)], { env });
    const spent = process.cpuUsage(cpu);
    return { ...(JSON.parse(stdout) as Measured), cpu: (spent.user + spent.system) / count };
  };
  try {
    await load('/api/v2/log/entries', 500);
    return { 'HTTP, Rekor v2': await load('/api/v2/log/entries', 6_000), 'HTTP, statements': await load('/api/v1/statements/shop', 4_000) };
  } finally {
    const remove = ends.shift();
    for (const end of ends.toReversed()) await end();
    await remove?.();
  }
}

async function buildPeer(folder: string): Promise<string | undefined> {
  const go = ['/usr/local/go/bin/go', '/usr/bin/go'].find((path) => existsSync(path));
  if (go === undefined) return undefined;
  const path = join(folder, 'tessera');
  await run(go, ['build', '-o', path, '.'], { cwd: join(import.meta.dirname, 'tessera') });
  return path;
}

async function tessera(program: string, folder: string): Promise<Record<string, Measured>> {
  const ask = async (...flags: string[]) => {
    const dir = await mkdtemp(join(folder, 'tessera-'));
    const { stdout } = await run(program, ['-dir', dir, '-writers', String(writers), ...flags]);
    await rm(dir, { recursive: true, force: true });
    return JSON.parse(stdout) as Measured;
  };
  return { 'Tessera POSIX, in the tree': await ask('-count', '10000'), 'Tessera POSIX, published': await ask('-count', '2000', '-published') };
}

export async function log(count: number, say: (line: string) => void): Promise<Report> {
  const folder = await mkdtemp('/tmp/cairn-bench-log-');
  const rounds = new Map<string, Measured[]>();
  try {
    const peer = await buildPeer(folder);
    if (peer === undefined) say('no Go on this machine: without Tessera');
    for (let at = 0; at < count; at++) {
      say(`round ${at + 1} of ${count}`);
      const place = await mkdtemp(join(folder, 'round-'));
      for (const results of [await inProcess(place), await overHttp(), peer === undefined ? {} : await tessera(peer, folder)]) {
        for (const [name, one] of Object.entries(results)) rounds.set(name, [...(rounds.get(name) ?? []), one]);
      }
      await rm(place, { recursive: true });
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
  const median = (name: string, of: keyof Measured) => (rounds.get(name) ?? []).map((one) => one[of] ?? 0).toSorted((a, b) => a - b)[count >> 1] ?? 0;
  const rows = [...rounds.keys()].map((name) => [name, name.startsWith('one writer') ? '1' : String(writers), Math.round(median(name, 'perSecond')).toLocaleString('en'), median(name, 'p50').toFixed(1), median(name, 'p99').toFixed(1), name.startsWith('Tessera') ? '' : median(name, 'cpu').toFixed(0)]);
  const missed: string[] = [];
  const figures: Figure[] = [];
  const promised = (what: string, target: string, figure: string, met: boolean) => void figures.push({ what, target, figure, met });
  for (const name of ['entries', 'statements']) {
    promised(`log, ${name}, ${writers} writers, durable`, `>= ${targets.perSecond} a second, p99 < ${targets.p99} ms`, `${Math.round(median(name, 'perSecond'))} a second, p99 ${median(name, 'p99').toFixed(0)} ms`, median(name, 'perSecond') >= targets.perSecond && median(name, 'p99') < targets.p99);
    promised(`log, ${name}, one writer, p50`, `< ${targets.single} ms`, `${median(`one writer, ${name}`, 'p50').toFixed(1)} ms`, median(`one writer, ${name}`, 'p50') < targets.single);
  }
  for (const name of ['HTTP, Rekor v2', 'HTTP, statements']) promised(`log over ${name}, signatures checked`, `>= ${targets.http} a second`, `${Math.round(median(name, 'perSecond'))}`, median(name, 'perSecond') >= targets.http);
  const theirs = median('Tessera POSIX, in the tree', 'perSecond');
  if (theirs > 0) promised('log, entries, beside Tessera POSIX tuned alike', 'same run', `${(median('entries', 'perSecond') / theirs).toFixed(2)} times`, true);
  const require = (holds: boolean, what: string) => void (holds || missed.push(what));
  for (const name of ['entries', 'statements']) {
    require(median(name, 'perSecond') >= targets.perSecond, `${name}: ${Math.round(median(name, 'perSecond'))} a second, ${targets.perSecond} are the target`);
    require(median(name, 'p99') < targets.p99, `${name}: p99 ${median(name, 'p99').toFixed(0)} ms, ${targets.p99} ms are the target`);
    require(median(`one writer, ${name}`, 'p50') < targets.single, `one writer, ${name}: p50 ${median(`one writer, ${name}`, 'p50').toFixed(1)} ms, ${targets.single} ms are the target`);
  }
  for (const name of ['HTTP, Rekor v2', 'HTTP, statements']) require(median(name, 'perSecond') >= targets.http, `${name}: ${Math.round(median(name, 'perSecond'))} a second, ${targets.http} are the target`);
  return {
    title: `Log: ${count} rounds, medians; every entry on the disk and under a checkpoint before it is answered, signatures checked over HTTP`,
    tables: [{ columns: ['what', 'writers', 'a second', 'p50 ms', 'p99 ms', 'CPU us each'], rows }],
    figures,
    missed,
  };
}
