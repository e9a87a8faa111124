// The main job, for real, in a temporary folder: a shop in three releases under load, the third of them bad; back by itself and by
// hand; three attacks. Ends by itself and leaves nothing; with --stay it keeps running until it is told to stop.
import { cp, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { CairnError, type Digest } from '#core';
import { flipByte, forgeWithOwnKey, moveTag, swapPayload } from './attacks.ts';
import { startLoad, type Load } from './load.ts';
import { Place, type Failure, type Ran } from './place.ts';

interface Released { readonly release: Digest }
interface Moved { readonly switchedMs: number | null; readonly revision: { readonly release: Digest; readonly number: number; readonly content: Digest } }

const began = performance.now();
const top = join(import.meta.dirname, '../..');
const made = /\/(node_modules|assets|data)$/;
const filter = (path: string) => !made.test(path.slice(top.length));
const place = await Place.make('shop', (folder) => cp(join(top, 'examples/shop'), folder, { recursive: true, filter }));
let load: Load | undefined;
/** Resolves when somebody wants it to end. */
const told = new Promise<void>((resolve) => {
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => resolve());
});

function title(text: string): void {
  process.stdout.write(`\n${text}\n`);
}

function say(what: string, digest: string, milliseconds: number | null, more = ''): void {
  const time = milliseconds === null ? '' : `${milliseconds < 100 ? milliseconds.toFixed(1) : Math.round(milliseconds)} ms`;
  process.stdout.write(`  ${what.padEnd(36)} ${digest.replace('sha256:', '').slice(0, 12).padEnd(13)} ${time.padStart(9)}  ${more}`.trimEnd() + '\n');
}

function hold(what: string, holds: boolean): void {
  if (!holds) throw new Error(`the demo did not hold what it shows: ${what}`);
}

async function release(message: string, more = ''): Promise<Digest> {
  await place.git('commit', '-qam', message);
  const { result, milliseconds } = await place.cairn<Released>('release');
  say(`release "${message}"`, result.release, milliseconds, more);
  return result.release;
}

async function promote(digest: Digest, environment: string, ...more: string[]): Promise<void> {
  const { result } = await place.cairn<Moved>('promote', digest, environment, ...more);
  say(`promote to ${environment}`, result.revision.release, result.switchedMs, ['switched, watched for 3 s, confirmed', ...more].join('  '));
}

async function refused(what: string, digest: string, exit: number, ...parameters: string[]): Promise<Ran<Failure>> {
  const ran = await place.refused(exit, ...parameters);
  const { code, message, context } = ran.result;
  const why = context.rules?.find(({ passed }) => !passed)?.found ?? message.split('\n')[0] ?? '';
  say(what, digest, null, `refused (${code}, exit ${exit}): ${why}`);
  return ran;
}

/** Something that must throw a refusal. */
async function repelled(what: string, digest: string, attack: () => Promise<void>): Promise<void> {
  const error = await attack().then(() => undefined, (thrown: unknown) => thrown);
  if (!(error instanceof CairnError)) throw new Error(`the attack was not refused: ${what}`, { cause: error });
  say(what, digest, null, `refused (${error.code}): ${error.message}`);
}

async function served(): Promise<{ release: string; greeting: string }> {
  const response = await fetch(place.production);
  const greeting = /<h1>([^<]*)</.exec(await response.text())?.[1] ?? '';
  return { release: response.headers.get('cairn-release') ?? 'none', greeting };
}

async function begin(): Promise<void> {
  const made = await place.cairn<{ policy: Digest }>('init');
  say('init: keys, policy, trust', made.result.policy, made.milliseconds);
  await place.git('add', '.');
  say('up: runner and control server', '', await place.up(), `http://127.0.0.1:${place.port}`);
  for (const environment of ['staging', 'production']) {
    const { milliseconds } = await place.must(['secret', 'put', 'SESSION_KEY', environment], `a key for ${environment}\n`);
    say(`secret SESSION_KEY in ${environment}`, '', milliseconds, 'encrypted, version 1');
  }
}

async function bringBack(bad: Digest, good: Digest): Promise<void> {
  const { result, milliseconds } = await place.refused(5, 'promote', bad, 'production');
  say('promote to production', bad, milliseconds, `ended by itself (${result.code}, exit 5)`);
  const seen = load?.seen.get(bad);
  const bound = seen === undefined ? Number.POSITIVE_INFINITY : seen.last - seen.first;
  say('back by itself', good, bound, `that long was the bad one served; ${result.message}`);
  hold('the revert took less than 10 s', bound < 10_000);
  hold('the release before serves again', (await served()).release === good);
}

async function story(): Promise<void> {
  title('A shop of web, worker, files and a migration, its first release');
  await begin();
  const first = await release('Open the shop', 'built, tested, signed, logged');
  await refused('promote to production, too early', first, 4, 'promote', first, 'production');
  await promote(first, 'staging');
  await promote(first, 'production');

  load = startLoad(place.production, { pages: 20, orders: 2 });
  title('The second release, with visitors from here on: 20 who look, 2 who order');
  await place.edit('public/style.css', (text) => text.replace('--accent: #3c5a4c', '--accent: #7a4a32'));
  for (const file of ['package.json', 'package-lock.json']) await place.edit(file, newNanoid);
  const second = await release('Warmer colours');
  await promote(second, 'staging');
  const set = await place.cairn<Moved>('config', 'set', 'staging', 'GREETING=Winter sale');
  say('config set staging', set.result.revision.content, set.result.switchedMs, 'GREETING=Winter sale, a revision of its own');
  await promote(second, 'production', '--config', 'GREETING=Winter sale');
  hold('the new greeting is served', (await served()).greeting === 'Winter sale');

  title('The third release is bad: it remembers every visitor, and under load it has no memory left');
  await place.edit('web/server.js', forgetful);
  const third = await release('Remember our visitors');
  await promote(third, 'staging');
  await bringBack(third, second);

  title('Back by hand');
  const back = await place.cairn<Moved>('rollback', 'production', '--reason', 'too warm');
  say('rollback of production', back.result.revision.release, back.result.switchedMs, `switched; ${Math.round(back.milliseconds)} ms from Enter`);
  const now = await served();
  hold('the first release serves, with its own greeting', now.release === first && now.greeting === 'Welcome');
  await refused('promote what was rolled back', second, 4, 'promote', second, 'production');
  const resumed = await place.cairn('resume', second, 'production', '--reason', 'it was the light');
  say('resume', second, resumed.milliseconds, 'signed, logged');

  title('Three attacks');
  const spoilt = await flipByte(place, second);
  const noticed = await refused('a byte flipped in a stored layer', spoilt.layer, 4, 'promote', second, 'production');
  hold('it is an incident or a mismatch of digests', ['incident', 'digest-mismatch'].includes(noticed.result.code));
  await spoilt.undo();
  const open = await place.cairn<{ incidents: readonly { logIndex: number }[] }>('incident', 'list');
  for (const { logIndex } of open.result.incidents) {
    const resolved = await place.cairn('incident', 'resolve', String(logIndex), '--resolution', 'the byte was put back');
    say(`incident ${logIndex} resolved`, second, resolved.milliseconds, 'signed, logged: the release may go on');
  }
  const [tagged, moved] = await moveTag(place, 'v1', first, second);
  say('a tag moved to another release', second, null, `refused (HTTP ${moved}); it stays at ${first.slice(7, 19)}`);
  hold('a tag is written once', tagged === 201 && moved >= 400);
  await refused('a deploy by tag', '', 2, 'promote', 'v1', 'production');
  await repelled('test results under an unknown key', third, () => forgeWithOwnKey(place, third));
  await repelled("Ada's signature under other words", third, () => swapPayload(place, second, third));
  hold('nothing of it reached production', (await served()).release === first);

  title('And on');
  await promote(second, 'production', '--config', 'GREETING=Winter sale');
  const counts = await load.stop();
  say('load', '', null, `${counts.requests} requests, ${counts.failed} failed`);
  hold(`no request failed: ${counts.complaints.join('; ')}`, counts.failed === 0);
  say('orders', '', null, `${counts.orders.length} taken, ${await receipts(counts.orders)} receipts written`);

  const verified = await place.cairn<{ statements: unknown[] }>('verify', second);
  say('verify, from the bytes', second, verified.milliseconds, `${verified.result.statements.length} statements`);
  const audited = await place.cairn<object>('audit');
  say('audit, everything from its bytes', '', audited.milliseconds, 'all hold');
}

/** Waits until each order has its receipt. @throws where the worker of some release lost one */
async function receipts(orders: readonly string[]): Promise<number> {
  const folder = join(place.home, 'data/production/shop/orders/receipts');
  for (let tries = 0; tries < 100; tries++) {
    const written = new Set(await readdir(folder));
    if (orders.every((id) => written.has(`${id}.txt`))) return orders.length;
    await sleep(100);
  }
  throw new Error('the demo did not hold what it shows: an order has no receipt');
}

function newNanoid(text: string): string {
  return text
    .replaceAll('5.1.15', '5.1.16')
    .replace(/"integrity": "[^"]*"/, '"integrity": "sha512-kVrnsrJqMR8+oLJnGEmSWw9BivK5mt7H3FZatVRjrc5wGqFYuBxX1yG7+A7Gi5AefkX6t/oCkizcQgpu0cY1dQ=="');
}

function forgetful(text: string): string {
  return text
    .replace('pages.shop(basketOf(request))', 'pages.shop(visitors.push(request.headers) && basketOf(request))')
    .replace('const streams', 'const visitors = [];\nconst streams')
    .replace('await orders.writable();', "await orders.writable();\n    if (visitors.length > 150) throw new Error('no memory left for more visitors');");
}

async function stay(): Promise<void> {
  const settings = ['CAIRN_HOME', 'CAIRN_PASSPHRASE', 'CAIRN_USER'].map((name) => `${name}=${place.environment[name]}`).join(' ');
  title('It stays up until Ctrl-C');
  process.stdout.write(`  shop       ${place.production}   staging ${place.staging}\n`);
  process.stdout.write(`  commands   cd ${place.repository} && export ${settings}\n             node ${join(top, 'bin/cairn.js')} status\n`);
  await told;
}

async function leave(): Promise<void> {
  await load?.stop();
  await place.remove();
}

// Cut short, it must leave nothing behind either.
let stays = false;
void told.then(async () => {
  if (stays) return;
  await leave();
  process.exit(130);
});

try {
  process.stdout.write('Cairn: from a commit to a running process, and back\n');
  await story();
  process.stdout.write(`\nall of it held, in ${Math.round((performance.now() - began) / 1000)} s\n`);
  stays = process.argv.includes('--stay');
  if (stays) await stay();
} finally {
  await leave();
}
