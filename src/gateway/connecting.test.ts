import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { digestOf } from '#core';
import { backend, call, inFlight, opened, whole } from './fixture.ts';

/** A process that listens and is stopped, with its backlog full: who connects waits. It says what it is asked once it goes on. */
async function frozen(t: TestContext): Promise<{ readonly origin: string; thaw(): Promise<string> }> {
  const code = "const s = require('node:net').createServer((c) => c.on('error', () => {}).on('data', (d) => process.send(String(d)))).listen(0, '127.0.0.1', 1, () => process.send(s.address().port)); process.on('message', (m) => process.send(m));";
  const child = spawn(process.execPath, ['-e', code], { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
  const [port] = (await once(child, 'message')) as [number];
  child.kill('SIGSTOP');
  const fill = Array.from({ length: 4 }, () => connect(port, '127.0.0.1').on('error', () => {}));
  t.after(() => {
    for (const socket of fill) socket.destroy();
    child.kill('SIGKILL');
  });
  await sleep(50);
  return {
    origin: `http://127.0.0.1:${port}`,
    async thaw() {
      for (const socket of fill) socket.destroy();
      let heard = '';
      child.on('message', (message: string) => (heard += message));
      child.kill('SIGCONT');
      // A connection that was waiting knocks again after a second.
      await sleep(1_800);
      return heard;
    },
  };
}

const linux = process.platform === 'linux' ? false : 'other systems treat a full backlog otherwise';

test('an instance that accepts no connection in time is none', { skip: linux }, async (t) => {
  let now = 0;
  const at = await opened(t, { clock: { now: () => new Date(), elapsed: () => now } });
  at.gateway.route('production', whole(backend('one', (await frozen(t)).origin)));
  const leaving = connect(at.port, '127.0.0.1');
  leaving.write('GET /leaving HTTP/1.1\r\nHost: a\r\n\r\n');
  await inFlight(at, 'one', 1);
  leaving.destroy();
  await inFlight(at, 'one', 0);
  const pending = call(at.url);
  await inFlight(at, 'one', 1);
  const timer = setInterval(() => (now += 6_000), 500);
  t.after(() => clearInterval(timer));
  const answer = await pending;
  assert.equal(answer.statusCode, 502);
  assert.match(answer.body, /no connection within 5 s/);
  // Who left before did not fail, and was not tried again.
  assert.equal(at.gateway.counts(digestOf('one')).errors, 1);
});

test('who leaves while the connection is being made is never heard of by the application', { skip: linux }, async (t) => {
  const at = await opened(t);
  const { origin, thaw } = await frozen(t);
  at.gateway.route('production', whole(backend('one', origin)));
  const leaving = connect(at.port, '127.0.0.1');
  leaving.write('GET /leaving HTTP/1.1\r\nHost: a\r\n\r\n');
  await inFlight(at, 'one', 1);
  leaving.destroy();
  await inFlight(at, 'one', 0);
  assert.equal(await thaw(), '');
  assert.equal(at.gateway.counts(digestOf('one')).errors, 0);
});
