import assert from 'node:assert/strict';
import { cp, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'undici';
import { envelopeDigest, predicateTypes } from '#attest';
import { asCairnError, noFaults, type Digest } from '#core';
import { loadServerKeys, openHome, type ServerKeys } from '#home';
import { openLedger } from '#ledger';
import { isConsistent, readCheckpoint } from '#log';
import type { Moved, Timeline } from '#release';
import type { ApiClient } from '#server';
import { systemClock } from '../../src/main/system.ts';
import { application, Machine, signedRequest, start, top, user, type Started } from '../support/machine.ts';

// The control server is killed at each of its writes in turn, while the runner serves. CAIRN_SWEEP=full takes every one, a
// number every so many; each point costs two starts of the server, hence few of them where nothing is asked.

const step = process.env['CAIRN_SWEEP'] === 'full' ? 1 : Number(process.env['CAIRN_SWEEP'] ?? 23);

interface Harness {
  readonly machine: Machine;
  readonly api: ApiClient;
  readonly keys: ServerKeys;
  readonly first: Digest;
  readonly second: Digest;
  readonly load: Load;
  /** The control server, started over; with a number it kills itself at that point. */
  restart(faultAt?: number): Promise<void>;
  /** The running control server's end. */
  gone(): Promise<void>;
}

/** A machine with one release confirmed in production and a second confirmed in staging. */
async function harness(t: TestContext): Promise<Harness> {
  const machine = await Machine.make(t);
  await machine.init();
  const runner = await start([join(top, 'test/support/runner.ts')], 'ready', { cwd: machine.folder, env: machine.environment });
  let server: Started | undefined;
  const load = new Load(machine.urlOf('production'));
  t.after(async () => {
    await load.stop();
    server?.child.kill('SIGKILL');
    await server?.ended;
    runner.child.kill('SIGTERM');
    await runner.ended;
  });
  const restart = async (faultAt = 0) => {
    server?.child.kill('SIGKILL');
    await server?.ended;
    server = undefined;
    const env = { ...machine.environment, CAIRN_FAULT_AT: String(faultAt) };
    server = await start([join(top, 'src/main/server.ts')], 'ready ', { cwd: machine.folder, env });
  };
  await restart();
  const api = await machine.api();
  const { settings, paths } = await openHome(machine.home);
  const keys = await loadServerKeys(paths.keys, settings.environments.map((one) => one.name));
  const person = await machine.person();
  const promote = (release: Digest, environment: string) => api.promote(signedRequest(person, release, { action: 'promote', environment, nonce: `start ${release} ${environment}`, head: null }));
  const first = await machine.release();
  await promote(first, 'staging');
  await promote(first, 'production');
  await machine.change('two');
  const second = await machine.release();
  await promote(second, 'staging');
  load.start();
  return { machine, api, keys, first, second, load, restart, gone: async () => server?.ended };
}

test('a control server that is killed at any write ends each operation in one confirmed revision, and no request notices', async (t) => {
  const h = await harness(t);
  const person = await h.machine.person();
  const signed = (action: 'promote' | 'resume', nonce: string, head: number | null = null) => signedRequest(person, h.second, { action, environment: 'production', nonce, head });
  const rollback = (operation: string) => h.api.rollback({ operation, application, environment: 'production', by: user, reason: 'a drill' });

  await t.test('during a promotion', (each) =>
    sweep(each, h, {
      expected: h.second,
      prepare: (n, head) => {
        const request = signed('promote', `promotion ${n}`, head);
        return { operation: envelopeDigest(request.envelope), call: () => h.api.promote(request) };
      },
      undo: async (n) => {
        await rollback(`undo promotion ${n}`);
        await h.api.resume(signed('resume', `resumption ${n}`));
      },
    }));

  await h.api.promote(signed('promote', 'forward again'));
  await t.test('during a rollback', (each) =>
    sweep(each, h, {
      expected: h.first,
      prepare: (n) => ({ operation: `rollback number ${n}`, call: () => rollback(`rollback number ${n}`) }),
      undo: async (n) => {
        await h.api.resume(signed('resume', `resumption after ${n}`));
        await h.api.promote(signed('promote', `forward ${n}`));
      },
    }));
});

interface Sweep {
  /** The release that serves in the end. */
  readonly expected: Digest;
  prepare(n: number, head: number): { operation: string; call(): Promise<Moved> };
  undo(n: number): Promise<void>;
}

async function sweep(t: TestContext, h: Harness, { expected, prepare, undo }: Sweep): Promise<void> {
  const begun = performance.now();
  let crashes = 0;
  let n = 1;
  for (let fired = true; fired; n += step) {
    const before = await h.api.timeline(application, 'production');
    const { checkpoint } = await h.api.info();
    // What was attached is known to be: else each start would begin with the same writes again.
    await writeFile(join(h.machine.home, 'attached'), String(checkpoint.size));
    await h.restart(n);
    const { operation, call } = prepare(n, before.head);
    fired = await call().then(() => false, (thrown: unknown) => {
      const error = asCairnError(thrown);
      assert.equal(error.code, 'unreachable', `point ${n}: ${error.message}`);
      return true;
    });
    if (fired) {
      crashes++;
      await h.gone();
      await copyLedger(h);
    }
    await Promise.all([h.restart(), fired && assertIndexAsLogged(h, n)]);
    const moved = await untilAnswered(call, n);
    assert.equal(moved.operation, operation);
    await assertEnded(h, { operation, expected, before, checkpoint, n });
    await undo(n);
  }
  await assertVerifies(h);
  const { requests, failures } = h.load;
  assert.deepEqual(failures, []);
  t.diagnostic(`${n - step} points, killed at ${crashes} of them, ${requests} requests, ${((performance.now() - begun) / 1000).toFixed(1)} s`);
}

async function untilAnswered(call: () => Promise<Moved>, n: number): Promise<Moved> {
  for (let tries = 0; ; tries++) {
    try {
      return await call();
    } catch (thrown) {
      const error = asCairnError(thrown);
      if (!error.retryable || tries > 100) assert.fail(`point ${n}: ${error.code}: ${error.message}`);
      await sleep(50);
    }
  }
}

async function copyLedger({ machine }: Harness): Promise<void> {
  for (const name of (await readdir(machine.home)).filter((one) => /^ledger\.sqlite(-wal)?$/.test(one))) await cp(join(machine.home, name), join(machine.folder, name));
}

/** The copy of what the crash left: the index is what the log says, at that very moment. */
async function assertIndexAsLogged({ machine, keys }: Harness, n: number): Promise<void> {
  const { settings } = await openHome(machine.home);
  const ledger = await openLedger({ path: join(machine.folder, 'ledger.sqlite'), keys: { origin: settings.origin, log: keys.log, time: keys.time }, record: keys.record, clock: systemClock, faults: noFaults });
  try {
    assert.equal((await ledger.rebuild()).same, true, `point ${n}: the index right after the crash`);
  } finally {
    await ledger.close();
    for (const end of ['', '-wal', '-shm']) await rm(join(machine.folder, `ledger.sqlite${end}`), { force: true });
  }
}

async function assertEnded(h: Harness, was: { operation: string; expected: Digest; before: Timeline; checkpoint: { size: number; note: string }; n: number }): Promise<void> {
  const { operation, expected, before, checkpoint, n } = was;
  const at = `point ${n}`;
  const after = await h.api.timeline(application, 'production');
  assert.equal(after.head, before.head + 1, at);
  const revision = after.revisions.at(-1);
  assert.equal(revision?.operation, operation, at);
  assert.equal(revision?.state, 'confirmed', at);
  assert.equal(revision?.release, expected, at);
  assert.equal(after.live?.number, revision?.number, at);
  assert.deepEqual(after.revisions.map((one) => one.operation).slice(0, -1), before.revisions.map((one) => one.operation), at);
  const states = after.revisions.map((one) => one.state);
  assert.ok(states.every((state) => ['confirmed', 'standby', 'retained', 'reverted'].includes(state)), `${at}: ${states.join(' ')}`);
  assert.equal(states.filter((state) => state === 'confirmed').length, 1, at);
  assert.ok(states.filter((state) => state === 'standby').length <= 1, at);

  const response = await fetch(h.machine.urlOf('production'));
  assert.equal(response.headers.get('cairn-release'), expected, at);
  await response.arrayBuffer();

  // Whatever was acknowledged before stands where it stood.
  const { settings } = await openHome(h.machine.home);
  const log = { origin: settings.origin, log: h.keys.log.publicKey, time: h.keys.time.publicKey };
  const [known, now] = [readCheckpoint(checkpoint.note, log), readCheckpoint((await h.api.info()).checkpoint.note, log)];
  const proof = await h.api.consistency(known.size, now.size);
  assert.ok(isConsistent(known.size, known.root, now.size, now.root, proof.map((hash) => Buffer.from(hash, 'base64'))), `${at}: the log continues`);
  assert.equal((await h.api.rebuildLedger()).same, true, `${at}: the index after the operation`);
}

/** Every verdict that let the second release in is attached to it and verifies. */
async function assertVerifies(h: Harness): Promise<void> {
  const ran = await h.machine.cairn('verify', h.second, '--json');
  assert.equal(ran.code, 0, ran.stdout + ran.stderr);
  const { statements } = ran.json as { statements: { predicateType: string; attached: boolean }[] };
  const timelines = await h.api.timelines();
  const admitted = timelines.flatMap((one) => one.revisions).filter((one) => one.release === h.second);
  assert.equal(statements.filter((one) => one.attached && one.predicateType === predicateTypes.verdict).length, admitted.length);
}

/** Requests without a break over a few connections that are kept. */
class Load {
  readonly #url: string;
  readonly failures: string[] = [];
  requests = 0;
  #running: Promise<void>[] = [];
  #stopped = false;

  constructor(url: string) {
    this.#url = url;
  }

  start(): void {
    this.#running = Array.from({ length: 3 }, () => this.#work());
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#running);
  }

  async #work(): Promise<void> {
    const client = new Client(this.#url);
    while (!this.#stopped) {
      this.requests++;
      try {
        const { statusCode, headers, body } = await client.request({ method: 'GET', path: '/', headersTimeout: 5000 });
        const { release } = (await body.json()) as { release: string };
        if (statusCode !== 200 || headers['cairn-release'] !== release) this.failures.push(`${statusCode} ${String(headers['cairn-release'])} ${release}`);
      } catch (error) {
        this.failures.push(String(error));
      }
      await sleep(5);
    }
    await client.close();
  }
}
