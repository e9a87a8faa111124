import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Digest } from '#core';
import type { Timeline } from '#release';
import { top, type Machine, type Ran } from '../support/machine.ts';
import { define, mischief, web } from '../support/mischief.ts';

// What moves releases, as a person sees it: the commands, their exit codes, and what is served meanwhile.

interface Served { readonly greeting: string; readonly key: string | null; readonly release: Digest; readonly resource: string; readonly pid: number }
type Failure = { error: { code: string; message: string; fix: string | null; context: { rules?: { rule: string; passed: boolean; found: string }[] } } };

async function served(machine: Machine, environment: 'staging' | 'production' = 'staging'): Promise<Served> {
  return (await (await fetch(machine.urlOf(environment))).json()) as Served;
}

async function ok(machine: Machine, ...parameters: string[]): Promise<Ran> {
  const ran = await machine.cairn(...parameters, '--json');
  assert.equal(ran.code, 0, `cairn ${parameters.join(' ')}: ${ran.stdout}${ran.stderr}`);
  return ran;
}

async function fails(machine: Machine, exit: number, code: string, ...parameters: string[]): Promise<Failure['error']> {
  const ran = await machine.cairn(...parameters, '--json');
  const failure = ran.json as Failure;
  assert.deepEqual([ran.code, failure.error?.code], [exit, code], `cairn ${parameters.join(' ')}: ${ran.stdout}${ran.stderr}`);
  assert.ok(failure.error.fix, 'a failure says what mends it');
  return failure.error;
}

async function withInput(machine: Machine, input: string, ...parameters: string[]): Promise<number | null> {
  const child = spawn(process.execPath, [join(top, 'bin/cairn.js'), ...parameters], { cwd: machine.repository, env: machine.environment, stdio: ['pipe', 'pipe', 'pipe'] });
  child.stdin.end(input);
  const [text, code] = await Promise.all([buffer(child.stderr), new Promise<number | null>((resolve) => child.once('exit', resolve)), buffer(child.stdout)]);
  assert.equal(code, 0, text.toString());
  return code;
}

test('configuration and content go forward and back as one', async (t) => {
  const machine = await mischief(t, { confirmSeconds: 0 });
  await machine.init();
  await machine.startUp();
  const release = await machine.release();

  await t.test('settings of the first promotion are used, and override what the release has', async () => {
    await ok(machine, 'promote', release, 'staging', '--config', 'GREETING=first');
    assert.equal((await served(machine)).greeting, 'first');
  });
  await t.test('a process knows its digest, as OpenTelemetry wants it', async () => {
    const { release: own, resource } = await served(machine);
    assert.equal(own, release);
    assert.match(resource, new RegExp(`service\\.name=hello\\.web,service\\.version=${release},deployment\\.environment\\.name=staging`));
  });
  await t.test('a change of settings is a revision of the same release', async () => {
    await ok(machine, 'config', 'set', 'staging', 'GREETING=second');
    assert.deepEqual([(await served(machine)).greeting, (await served(machine)).release], ['second', release]);
    const { json } = await ok(machine, 'config', 'list', 'staging');
    assert.deepEqual((json as { configuration: object }).configuration, { GREETING: 'second' });
  });
  await t.test('a rollback brings the settings back', async () => {
    await ok(machine, 'rollback', 'staging', '--reason', 'worse');
    assert.equal((await served(machine)).greeting, 'first');
  });
  await t.test('the content that was left is held, the release is not', async () => {
    const refused = await fails(machine, 4, 'refused', 'config', 'set', 'staging', 'GREETING=second');
    assert.match(refused.message, /rolled back from/);
    await ok(machine, 'resume', release, 'staging');
    await ok(machine, 'config', 'set', 'staging', 'GREETING=second');
    assert.equal((await served(machine)).greeting, 'second');
  });
  await t.test('a second rollback goes further back, never to where it came from', async () => {
    await define(machine, { confirmSeconds: 0 }, { GREETING: 'three' });
    const next = await machine.release();
    await ok(machine, 'promote', next, 'staging', '--config', 'GREETING=third');
    const plan = (await ok(machine, 'rollback', 'staging', '--plan')).json as { ways: { configuration: { values: object } }[] };
    assert.deepEqual(plan.ways.map(({ configuration }) => configuration.values), [{ GREETING: 'second' }, { GREETING: 'first' }]);
    await ok(machine, 'rollback', 'staging');
    assert.equal((await served(machine)).greeting, 'second');
    await ok(machine, 'rollback', 'staging');
    assert.equal((await served(machine)).greeting, 'first');
    await fails(machine, 6, 'nothing-to-return-to', 'rollback', 'staging');
  });
  await t.test('--to names the revision, and --keep-config keeps what runs', async () => {
    await fails(machine, 6, 'nothing-to-return-to', 'rollback', 'staging', '--to', '99');
    const drill = (await machine.cairn('rollback', 'staging', '--drill', '--json')).json as Failure;
    assert.equal(drill.error.code, 'nothing-to-return-to');
  });
});

test('secrets', async (t) => {
  const machine = await mischief(t, { confirmSeconds: 0, more: 'secrets: { API_KEY: follow }' });
  await machine.init();
  await machine.startUp();
  const first = await machine.release();

  await t.test('a release that needs one is refused until it is there, and nothing moved', async () => {
    const failure = await fails(machine, 6, 'secret-missing', 'promote', first, 'staging');
    assert.equal(failure.fix, 'cairn secret put API_KEY staging');
  });
  await t.test('its value reaches the application, and neither log, registry nor disk in the clear', async () => {
    await withInput(machine, 'hunter2-hunter2\n', 'secret', 'put', 'API_KEY', 'staging');
    await ok(machine, 'promote', first, 'staging');
    assert.equal((await served(machine)).key, 'hunter2-hunter2');
    const { execFileSync } = await import('node:child_process');
    const found = execFileSync('sh', ['-c', 'grep -rl hunter2-hunter2 "$0" || true', machine.home], { encoding: 'utf8' });
    assert.equal(found, '');
  });
  await t.test('a new version is switched to at once, and follows on a rollback', async () => {
    await define(machine, { confirmSeconds: 0, more: 'secrets: { API_KEY: follow }' }, { GREETING: 'two' });
    const second = await machine.release();
    await ok(machine, 'promote', second, 'staging');
    await withInput(machine, 'rotated-rotated', 'secret', 'put', 'API_KEY', 'staging');
    assert.deepEqual([(await served(machine)).key, (await served(machine)).release], ['rotated-rotated', second]);
    await ok(machine, 'rollback', 'staging');
    const now = await served(machine);
    assert.deepEqual([now.key, now.release], ['rotated-rotated', first]);
  });
  await t.test('a pinned one goes back with its content', async () => {
    await define(machine, { confirmSeconds: 0, more: 'secrets: { API_KEY: pin }' }, { GREETING: 'three' });
    const pinned = await machine.release();
    await ok(machine, 'promote', pinned, 'staging');
    await withInput(machine, 'third-third', 'secret', 'put', 'API_KEY', 'staging');
    assert.equal((await served(machine)).key, 'third-third');
    await ok(machine, 'rollback', 'staging');
    assert.equal((await served(machine)).key, 'rotated-rotated');
  });
});

test('a promotion is watched', async (t) => {
  const machine = await mischief(t, { confirmSeconds: 5 });
  await machine.init();
  await machine.startUp();

  await t.test('the first one that fails has nothing to go back to: it stops and says so', async () => {
    await define(machine, { confirmSeconds: 10 }, { CRASH_AFTER: '1500' });
    const bad = await machine.release();
    const failure = await fails(machine, 6, 'unhealthy', 'promote', bad, 'staging');
    assert.match(failure.message, /nothing to return to/);
    assert.equal((await fetch(machine.urlOf('staging'))).status, 503);
  });
  await t.test('one that never gets healthy never gets traffic', async () => {
    await define(machine, { confirmSeconds: 1 });
    const good = await machine.release();
    await ok(machine, 'promote', good, 'staging');
    await define(machine, { confirmSeconds: 5 }, { ILL: 'always' });
    const failure = await fails(machine, 6, 'unhealthy', 'promote', await machine.release(), 'staging');
    assert.match(failure.message, /healthy/);
    assert.equal((await served(machine)).release, good);
  });
  for (const [name, settings] of [['a crash loop', { CRASH_AFTER: '1500' }], ['lost health', { ILL_AFTER: '1500' }]] as const) {
    await t.test(`${name} reverts by itself in under ten seconds, and is held`, async () => {
      const before = (await served(machine)).release;
      await define(machine, { confirmSeconds: 9 }, settings);
      const bad = await machine.release();
      const start = performance.now();
      const failure = await fails(machine, 5, 'reverted', 'promote', bad, 'staging');
      assert.ok(performance.now() - start < 15_000, `${performance.now() - start} ms from Enter`);
      assert.match(failure.message, /went back to/);
      assert.equal((await served(machine)).release, before);
      await fails(machine, 4, 'refused', 'promote', bad, 'staging');
    });
  }
  await t.test('a rollback does not wait for the watch to end', async () => {
    const before = (await served(machine)).release;
    await define(machine, { confirmSeconds: 60 }, { GREETING: 'slow' });
    const slow = await machine.release();
    const promoting = machine.cairn('promote', slow, 'staging', '--json');
    for (let tries = 0; tries < 200 && (await served(machine)).release !== slow; tries++) await sleep(50);
    const start = performance.now();
    await ok(machine, 'rollback', 'staging');
    assert.ok(performance.now() - start < 5_000);
    assert.equal((await served(machine)).release, before);
    const ran = await promoting;
    assert.deepEqual([ran.code, (ran.json as Failure).error.code], [5, 'reverted']);
  });
});

test('with the control server away the runner rolls back, and it is logged when the server returns', async (t) => {
  const machine = await mischief(t, { confirmSeconds: 0 });
  await machine.init();
  await machine.startUp();
  const first = await machine.release();
  await ok(machine, 'promote', first, 'staging');
  await define(machine, { confirmSeconds: 0 }, { GREETING: 'two' });
  const second = await machine.release();
  await ok(machine, 'promote', second, 'staging');
  await sleep(300);
  const server = await machine.serverPid();
  process.kill(server, 'SIGSTOP');
  // Stopped and not killed: its supervisor would start it again within milliseconds.
  const away = machine.cairn('rollback', 'staging', '--reason', 'nobody answers', '--json');
  for (let tries = 0; tries < 300 && (await served(machine)).release !== first; tries++) await sleep(50);
  process.kill(server, 'SIGKILL');
  process.kill(server, 'SIGCONT');
  assert.equal((await away).code, 0, (await away).stdout);
  assert.equal((await served(machine)).release, first);
  let timelines: readonly Timeline[] = [];
  for (let tries = 0; tries < 100 && timelines[0]?.live?.restores == null; tries++) {
    await sleep(100);
    timelines = await (await machine.api()).timelines().catch(() => []);
  }
  assert.deepEqual([timelines[0]?.live?.release, timelines[0]?.live?.restores, timelines[0]?.live?.reason], [first, 1, 'nobody answers']);
  await fails(machine, 4, 'refused', 'promote', second, 'staging');
});

test('the data schema is checked before anything moves', async (t) => {
  const components = `${web.replace('command', 'data: [state], command')}\nmigrate: { kind: task, command: [node, server.js, migrate], data: [state] }`;
  const range = (minimum: number, maximum: number) => `schema: { minimum: ${minimum}, maximum: ${maximum}, file: state/schema }`;
  const machine = await mischief(t, { confirmSeconds: 0, components, more: range(1, 1) });
  await machine.init();
  await machine.startUp();
  const first = await machine.release();
  await ok(machine, 'promote', first, 'staging');
  await t.test('a task runs once before the traffic moves, and one that fails stops the promotion', async () => {
    await define(machine, { confirmSeconds: 0, components, more: range(1, 2) }, { MIGRATION: 'fails' });
    await fails(machine, 6, 'task-failed', 'promote', await machine.release(), 'staging');
    assert.equal((await served(machine)).release, first);
  });
  await t.test('a release that migrates is let in, and then the one before cannot come back', async () => {
    await define(machine, { confirmSeconds: 0, components, more: range(1, 2) }, { SCHEMA: '2', GREETING: 'migrated' });
    const second = await machine.release();
    await ok(machine, 'promote', second, 'staging');
    const failure = await fails(machine, 4, 'refused', 'rollback', 'staging');
    assert.match(failure.message, /the data has schema 2; it runs on schema 1/);
    assert.equal((await served(machine)).release, second);
  });
  await t.test('a release for a later schema is refused before anything moves', async () => {
    await define(machine, { confirmSeconds: 0, components, more: range(3, 4) }, { SCHEMA: '3', GREETING: 'later' });
    const failure = await fails(machine, 4, 'refused', 'promote', await machine.release(), 'staging');
    assert.match(failure.fix ?? '', /Migrate/);
    assert.equal((await served(machine)).greeting, 'migrated');
  });
});

test('workers: never two revisions at once, over a promotion and a rollback', async (t) => {
  const components = `${web}\nworker: { kind: worker, command: [node, server.js, worker], data: [state] }`;
  const machine = await mischief(t, { confirmSeconds: 1, components });
  await machine.init();
  await machine.startUp();
  await ok(machine, 'promote', await machine.release(), 'staging');
  await define(machine, { confirmSeconds: 1, components }, { GREETING: 'two' });
  await ok(machine, 'promote', await machine.release(), 'staging');
  await ok(machine, 'rollback', 'staging');
  await sleep(1500);
  const log = (await readFile(join(machine.home, 'data/staging/hello/state/worker.log'), 'utf8')).trim().split('\n').map((line) => JSON.parse(line) as { what: string; greeting: string });
  assert.deepEqual(log.map(({ what, greeting }) => `${what} ${greeting}`), ['start one', 'stop one', 'start two', 'stop two', 'start one']);
});

test('two promotions at once: one wins, the other is told', async (t) => {
  const machine = await mischief(t, { confirmSeconds: 0 });
  await machine.init();
  await machine.startUp();
  const first = await machine.release();
  await define(machine, { confirmSeconds: 0 }, { GREETING: 'two' });
  const second = await machine.release();
  const ran = await Promise.all([first, second].map((release) => machine.cairn('promote', release, 'staging', '--json')));
  assert.deepEqual(ran.map(({ code }) => code).toSorted(), [0, 6], ran.map(({ stdout }) => stdout).join('\n'));
  const loser = ran.find(({ code }) => code === 6)?.json as Failure;
  assert.equal(loser.error.code, 'conflict');
});

test('a revoked release is let in nowhere, and no rollback goes to it', async (t) => {
  const machine = await mischief(t, { confirmSeconds: 0 });
  await machine.init();
  await machine.startUp();
  const releases: Digest[] = [];
  for (const greeting of ['one', 'two', 'three']) {
    await define(machine, { confirmSeconds: 0 }, { GREETING: greeting });
    const release = await machine.release();
    releases.push(release);
    await ok(machine, 'promote', release, 'staging');
  }
  const [first, second, third] = releases as [Digest, Digest, Digest];
  await ok(machine, 'revoke', second, '--reason', 'CVE-2026-1');
  await ok(machine, 'rollback', 'staging');
  assert.equal((await served(machine)).release, first);
  assert.match((await fails(machine, 4, 'refused', 'promote', second, 'staging')).message, /revoked by ada: CVE-2026-1/);
  const { json } = await ok(machine, 'revoke', first, '--reason', 'CVE-2026-2');
  const { running } = json as { running: { environment: string; revision: number; back: unknown; fix: string }[] };
  assert.deepEqual(running.map(({ environment, revision, back }) => ({ environment, revision, back })), [{ environment: 'staging', revision: 4, back: null }]);
  assert.ok(third);
});

test('traffic is shared by clients, and raising the share moves people one way only', async (t) => {
  const machine = await mischief(t, { confirmSeconds: 0 });
  await machine.init();
  await machine.startUp();
  const first = await machine.release();
  await ok(machine, 'promote', first, 'staging');
  await define(machine, { confirmSeconds: 0 }, { GREETING: 'two' });
  const second = await machine.release();
  await ok(machine, 'promote', second, 'staging', '--traffic', '20');
  const clients = await Promise.all(Array.from({ length: 200 }, async () => {
    const response = await fetch(machine.urlOf('staging'));
    await response.arrayBuffer();
    return { cookie: (response.headers.get('set-cookie') ?? '').split(';')[0] ?? '', release: response.headers.get('cairn-release') };
  }));
  const share = clients.filter(({ release }) => release === second).length;
  assert.ok(share > 15 && share < 70, `${share} of 200`);
  const again = async () => Promise.all(clients.map(async ({ cookie }) => {
    const response = await fetch(machine.urlOf('staging'), { headers: { cookie } });
    await response.arrayBuffer();
    return response.headers.get('cairn-release');
  }));
  assert.deepEqual(await again(), clients.map(({ release }) => release));
  await ok(machine, 'traffic', 'staging', '60');
  const after = await again();
  assert.ok(clients.every(({ release }, at) => release !== second || after[at] === second), 'nobody went back');
  assert.ok(after.filter((release) => release === second).length > share);
  await machine.stop();
  await machine.startUp();
  assert.deepEqual(await again(), after, 'the same clients after a restart');
  await ok(machine, 'rollback', 'staging');
  assert.deepEqual(new Set(await again()), new Set([first]));
});
