import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { CairnError } from '#core';
import { cosign, cosignedAt, parseNote, parseVkey } from '#log';
import { generateSigner } from '#sign';
import { toyLog, toyWitness, type ToyLog, type ToyWitness } from './fixture.ts';
import { serveWitness } from './serve.ts';
import type { Answer } from './witness.ts';
import { startWitnessing } from './witnessing.ts';

interface Named {
  readonly name: string;
  readonly key: string;
  readonly url: string;
}

/** The log's side over a toy log, and witnesses that really listen. */
async function asking(t: TestContext, log: ToyLog, witnesses: readonly Named[], folder?: string) {
  const where = folder ?? (await mkdtemp('/tmp/cairn-a-'));
  const reported: CairnError[] = [];
  const asked = { log, checkpoints: 0 };
  const witnessing = await startWitnessing({
    witnesses: async () => witnesses, logKeys: () => log.noteKeys, folder: where, report: (error) => reported.push(error),
    log: {
      checkpoint: async () => {
        asked.checkpoints++;
        return asked.log.size() === 0 ? undefined : { size: asked.log.size(), note: await asked.log.note(asked.log.size(), 5000 + asked.log.size()) };
      },
      consistency: (from, to) => asked.log.consistency(from, to),
    },
  });
  t.after(async () => {
    await witnessing.close();
    await rm(where, { recursive: true, force: true });
  });
  return { witnessing, reported, folder: where, asked };
}

async function listen(t: TestContext, witness: ToyWitness, name = 'w1', add: (body: Uint8Array) => Answer = witness.add): Promise<Named & { bodies: string[] }> {
  const bodies: string[] = [];
  const server = await serveWitness({ host: '127.0.0.1', port: 0, add: (body) => { bodies.push(Buffer.from(body).toString()); return add(body); }, report: () => {} });
  t.after(() => server.close());
  return { name, key: witness.key.vkey, url: `${server.url}/`, bodies };
}

/** One that answers whatever it is told to. */
async function answering(t: TestContext, status: number, body: string, headers: Record<string, string> = {}): Promise<Named> {
  const server = createServer((request, response) => request.resume().on('end', () => response.writeHead(status, headers).end(body)));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', () => resolve()));
  t.after(() => { server.closeAllConnections(); server.close(); });
  const witness = await toyWitness(t, []);
  return { name: 'w1', key: witness.key.vkey, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
}

async function until(what: () => boolean | Promise<boolean>): Promise<void> {
  for (let tries = 0; tries < 200; tries++) {
    if (await what()) return;
    await sleep(20);
  }
  assert.fail('it did not come to pass');
}

test('after a checkpoint the witness is asked, and its cosignature stands behind the log\u2019s own lines', async (t) => {
  const log = await toyLog();
  await log.grow(300);
  const witness = await toyWitness(t, [log]);
  const named = await listen(t, witness);
  const { witnessing } = await asking(t, log, [named]);
  witnessing.nudge();
  await until(async () => (await witnessing.views())[0]?.cosigned?.size === 300);
  const note = await log.note(300, 5300);
  const shown = witnessing.decorate(note);
  assert.ok(shown.startsWith(note) && shown.length > note.length);
  assert.ok((cosignedAt(parseNote(shown), parseVkey(witness.key.vkey)) ?? 0) > 0);
  assert.equal(witnessing.decorate(await log.note(200, 1)), await log.note(200, 1), 'only that of this very checkpoint');
  await log.grow(1);
  witnessing.nudge();
  await until(async () => (await witnessing.views())[0]?.cosigned?.size === 301);
  assert.match(named.bodies.at(-1) ?? '', /^old 300\n/);
});

test('a log that writes all the time asks for the newest, not for each', async (t) => {
  const log = await toyLog();
  await log.grow(1);
  const named = await listen(t, await toyWitness(t, [log]));
  const { witnessing } = await asking(t, log, [named]);
  for (let round = 0; round < 100; round++) {
    await log.grow(1);
    witnessing.nudge();
    if (round % 10 === 0) await sleep(5);
  }
  await until(async () => (await witnessing.views())[0]?.cosigned?.size === 101);
  assert.ok(named.bodies.length <= 6, `${named.bodies.length} questions for 100 checkpoints`);
});

test('a witness that knows another size than was thought says so and is answered with the proof from there', async (t) => {
  const log = await toyLog();
  await log.grow(40);
  const witness = await toyWitness(t, [log]);
  await witness.ask(log, 0, 17);
  const named = await listen(t, witness);
  const { witnessing } = await asking(t, log, [named]);
  assert.deepEqual(await witnessing.covering(40, 1, 5000), { witnessed: { size: 40, witnesses: ['w1'] }, sources: [] });
  assert.deepEqual(named.bodies.map((body) => body.split('\n')[0]), ['old 0', 'old 17']);
});

test('kept cosignatures are there after a restart, and without them the witness is simply asked again', async (t) => {
  const log = await toyLog();
  await log.grow(12);
  const witness = await toyWitness(t, [log]);
  const named = await listen(t, witness);
  const first = await asking(t, log, [named]);
  await first.witnessing.covering(12, 1, 5000);
  await first.witnessing.close();
  const again = await asking(t, log, [named], first.folder);
  assert.deepEqual((await again.witnessing.covering(12, 1, 0)).witnessed, { size: 12, witnesses: ['w1'] });
  assert.equal(named.bodies.length, 1);
  const [file = ''] = await readdir(first.folder);
  await writeFile(join(first.folder, file), 'torn');
  const anew = await asking(t, log, [named], first.folder);
  assert.equal((await anew.witnessing.covering(12, 1, 0)).witnessed, null);
  assert.deepEqual((await anew.witnessing.covering(12, 1, 5000)).witnessed, { size: 12, witnesses: ['w1'] });
  await writeFile(join(first.folder, file), await log.note(12, 5012));
  const bare = await asking(t, log, [named], first.folder);
  assert.equal((await bare.witnessing.covering(12, 1, 0)).witnessed, null, 'without the cosignature it is worth nothing');
});

test('one that does not answer and one that turns us down for asking too much are told apart', async (t) => {
  const log = await toyLog();
  await log.grow(12);
  const throttled = await answering(t, 429, 'slow down', { 'retry-after': '30' });
  const cases: [Named, string, RegExp][] = [
    [throttled, 'throttled', /429.*again in 30 s/],
    [{ ...throttled, url: 'http://127.0.0.1:1' }, 'unreachable', /does not answer/],
    [await answering(t, 500, 'broken'), 'unreachable', /answered 500/],
    [await answering(t, 404, ''), 'unreachable', /does not know this log/],
    [await answering(t, 403, ''), 'unreachable', /does not trust the key/],
    [await answering(t, 409, 'nonsense'), 'unreachable', /answered 409/],
    [await answering(t, 302, '', { location: 'http://127.0.0.1:1/' }), 'unreachable', /does not answer/],
    [await answering(t, 200, 'x'.repeat(100_000)), 'unreachable', /does not answer: its answer does not end/],
  ];
  for (const [named, state, detail] of cases) {
    const { witnessing } = await asking(t, log, [named]);
    const { witnessed, sources } = await witnessing.covering(12, 1, 5000);
    assert.equal(witnessed, null);
    assert.deepEqual(sources.map(({ name, state: how }) => [name, how]), [['w1', state]], String(detail));
    assert.match(sources[0]?.detail ?? '', detail);
  }
});

test('a cosignature that is not by the key of the policy is not kept, whatever else is in the answer', async (t) => {
  const log = await toyLog();
  await log.grow(12);
  const text = parseNote(await log.note(12, 5012)).text;
  const other = { name: 'witness.example.com', signer: generateSigner('ed25519') };
  for (const body of ['', 'yes\n', cosign(other, text, 100), `${text}\n${cosign(other, text, 100)}`]) {
    const { witnessing } = await asking(t, log, [await answering(t, 200, body)]);
    const { witnessed, sources } = await witnessing.covering(12, 1, 5000);
    assert.equal(witnessed, null, JSON.stringify(body));
    assert.match(sources[0]?.detail ?? '', /without a cosignature by its key/);
  }
});

test('a connection that was kept open and is closed on us is no witness that is away', async (t) => {
  const log = await toyLog();
  await log.grow(12);
  const witness = await toyWitness(t, [log]);
  const used = new Set<unknown>();
  let cut = 0;
  const server = createServer((request, response) => {
    if (used.has(request.socket)) {
      cut++;
      return void request.socket.destroy();
    }
    used.add(request.socket);
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk)).on('end', () => {
      const { status, type, body } = witness.add(Buffer.concat(chunks));
      response.writeHead(status, { 'content-type': type }).end(body);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', () => resolve()));
  t.after(() => { server.closeAllConnections(); server.close(); });
  const { witnessing } = await asking(t, log, [{ name: 'w1', key: witness.key.vkey, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` }]);
  for (const size of [12, 15]) {
    await log.grow(size - log.size());
    assert.deepEqual(await witnessing.covering(size, 1, 5000), { witnessed: { size, witnesses: ['w1'] }, sources: [] });
  }
  assert.equal(cut, 1, 'the second question met it');
});

test('of all that a witness sends one line is kept', async (t) => {
  const log = await toyLog();
  await log.grow(12);
  const witness = await toyWitness(t, [log]);
  const text = parseNote(await log.note(12, 5012)).text;
  const other = { name: 'other.example.com', signer: generateSigner('ed25519') };
  const lines = Array.from({ length: 15 }, (_, at) => cosign(witness.key, text, 100 + at) + cosign(other, text, 100)).join('');
  const named = await listen(t, witness, 'w1', () => ({ status: 200, type: 'text/plain', body: lines }));
  const { witnessing } = await asking(t, log, [named]);
  await witnessing.covering(12, 1, 5000);
  const shown = parseNote(witnessing.decorate(await log.note(12, 5012)));
  assert.deepEqual([shown.signatures.length, cosignedAt(shown, parseVkey(witness.key.vkey))], [3, 114]);
});

test('a cosignature over another checkpoint than was asked for is not kept', async (t) => {
  const log = await toyLog();
  await log.grow(12);
  const witness = await toyWitness(t, [log]);
  const line = cosign(witness.key, parseNote(await log.note(11, 1)).text, 100);
  const named = await listen(t, witness, 'w1', () => ({ status: 200, type: 'text/plain', body: line }));
  const { witnessing } = await asking(t, log, [named]);
  assert.equal((await witnessing.covering(12, 1, 5000)).witnessed, null);
});

test('a witness that does not end its answer holds up nobody longer than the limit', async (t) => {
  const log = await toyLog();
  await log.grow(12);
  const silent = createServer(() => {});
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', () => resolve()));
  t.after(() => { silent.closeAllConnections(); silent.close(); });
  const witness = await toyWitness(t, [log]);
  const deaf: Named = { name: 'deaf', key: (await toyWitness(t, [])).key.vkey, url: `http://127.0.0.1:${(silent.address() as AddressInfo).port}` };
  const { witnessing } = await asking(t, log, [deaf, await listen(t, witness, 'w2')]);
  const start = performance.now();
  witnessing.nudge();
  assert.ok(performance.now() - start < 50, 'a commit waits for no witness');
  assert.deepEqual((await witnessing.covering(12, 1, 5000)).witnessed, { size: 12, witnesses: ['w2'] }, 'one is enough, and it is there');
  assert.ok(performance.now() - start < 2000);
  const { witnessed } = await witnessing.covering(12, 2, 300);
  assert.deepEqual(witnessed?.witnesses, ['w2']);
  assert.ok(performance.now() - start < 3000);
});

test('two witnesses count twice; what covers is the smallest tree that both have seen', async (t) => {
  const log = await toyLog();
  await log.grow(12);
  const [first, second] = [await toyWitness(t, [log]), await toyWitness(t, [log])];
  const named = [await listen(t, first, 'w1'), await listen(t, second, 'w2')];
  const { witnessing } = await asking(t, log, named);
  assert.deepEqual(await witnessing.covering(12, 2, 5000), { witnessed: { size: 12, witnesses: ['w1', 'w2'] }, sources: [] });
  assert.deepEqual((await witnessing.covering(13, 0, 0)).witnessed, { size: 12, witnesses: ['w1', 'w2'] }, 'who is behind is named with what it has seen');
});

test('a log that shows its witness another tree than it writes is found out by the witness, and told once', async (t) => {
  const log = await toyLog();
  await log.grow(12);
  const witness = await toyWitness(t, [log]);
  const fork = await log.fork(5);
  await fork.grow(7, 'another');
  await witness.ask(fork, 0, 12);
  const named = await listen(t, witness);
  const { witnessing, reported } = await asking(t, log, [named]);
  for (let round = 0; round < 3; round++) assert.equal((await witnessing.covering(12, 1, 5000)).witnessed, null);
  assert.deepEqual(reported.map(({ context }) => context['reason']), ['log-fork']);
  await log.grow(5);
  const { sources } = await witnessing.covering(17, 1, 5000);
  assert.match(sources[0]?.detail ?? '', /do not continue the 12 that it has seen/);
  assert.deepEqual(reported.map(({ context }) => context['reason']), ['log-fork', 'log-rewrite']);
});

test('a ledger that is older than what its witness has seen is found out before it goes on', async (t) => {
  const log = await toyLog();
  await log.grow(12);
  const witness = await toyWitness(t, [log]);
  await witness.ask(log, 0, 12);
  const restored = await log.fork(6);
  const { witnessing, reported } = await asking(t, restored, [await listen(t, witness)]);
  const { sources } = await witnessing.covering(6, 1, 5000);
  assert.match(sources[0]?.detail ?? '', /this ledger is older than what others saw of it/);
  assert.deepEqual(reported.map(({ context }) => context['reason']), ['log-rewind']);
});

test('a witness that was set back, as by an old backup, is told of and caught up', async (t) => {
  const log = await toyLog();
  await log.grow(12);
  const witness = await toyWitness(t, [log]);
  const named = await listen(t, witness);
  const { witnessing, reported } = await asking(t, log, [named]);
  await witnessing.covering(12, 1, 5000);
  witness.seen.advance(log.origin, () => ({ size: 0, root: Buffer.alloc(32), time: 0, checkpoint: '' }));
  await log.grow(3);
  assert.deepEqual((await witnessing.covering(15, 1, 5000)).witnessed, { size: 15, witnesses: ['w1'] });
  assert.deepEqual(reported.map(({ context }) => context['reason']), ['witness-rewind']);
});
