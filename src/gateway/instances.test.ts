import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { digestOf } from '#core';
import { application, backend, call, exchange, inFlight, opened, rawApplication, whole } from './fixture.ts';

test('a connection is kept only as long as the application says it will', async (t) => {
  const { gateway, url } = await opened(t);
  for (const [keep, expected] of [['', 1], ['Keep-Alive: timeout=1\r\n', 4], ['Connection: close\r\n', 4], ['Connection: Keep-Alive\r\nKeep-Alive: timeout=20, max=100\r\n', 1]] as const) {
    let connections = 0;
    const origin = await rawApplication(t, (socket) => {
      connections++;
      socket.on('data', () => socket.write(`HTTP/1.1 200 OK\r\n${keep}content-length: 2\r\n\r\nok`));
    });
    gateway.route('production', whole(backend('one', origin)));
    for (let turn = 0; turn < 4; turn++) assert.equal((await call(url)).body, 'ok');
    assert.equal(connections, expected, keep);
  }
});

test('what cannot be sent twice is not sent on a connection that has been idle', async (t) => {
  let now = 0;
  const { gateway, url } = await opened(t, { clock: { now: () => new Date(), elapsed: () => now } });
  let connections = 0;
  const origin = await application(t, (_, response) => response.end('ok'), (server) => {
    server.keepAliveTimeout = 60_000;
    server.on('connection', () => connections++);
  });
  gateway.route('production', whole(backend('one', origin)));
  const ask = async (method: string, later: number) => {
    now += later;
    assert.equal((await call(url, { 'content-length': '0' }, method)).body, 'ok');
    return connections;
  };
  assert.equal(await ask('POST', 0), 1);
  assert.equal(await ask('POST', 500), 1);
  assert.equal(await ask('GET', 2_000), 1);
  assert.equal(await ask('POST', 2_000), 2);
  // By then all of them may be closing.
  assert.equal(await ask('GET', 60_000), 3);
});

test('a connection that nobody uses is closed before the application may close it under a request', async (t) => {
  let now = 0;
  const { gateway, url } = await opened(t, { clock: { now: () => new Date(), elapsed: () => now } });
  let closed = false;
  const origin = await application(t, (_, response) => response.end('ok'), (server) => server.on('connection', (socket) => socket.on('close', () => (closed = true))));
  gateway.route('production', whole(backend('one', origin)));
  await call(url);
  now += 4_500;
  while (!closed) await sleep(20);
});

test('a safe request with a body is not sent twice, since its body is spent', async (t) => {
  const { gateway, url } = await opened(t);
  let asked = 0;
  const origin = await rawApplication(t, (socket) => socket.once('data', () => (asked++, socket.destroy())));
  gateway.route('production', whole(backend('one', origin)));
  assert.equal((await call(url, { 'content-length': '6' }, 'GET', '/', 'a body')).statusCode, 502);
  assert.equal(asked, 1);
});

test('a request whose connection could not be made is sent to another instance, with its body', async (t) => {
  const { gateway, url } = await opened(t);
  const origin = await application(t, (request, response) => request.pipe(response));
  gateway.route('production', whole(backend('one', 'http://127.0.0.1:1', origin, 'http://127.0.0.1:2')));
  for (let turn = 0; turn < 6; turn++) assert.equal((await call(url, {}, 'POST', '/', 'the body')).body, 'the body');
});

test('when kept connections have all died, a safe request gets a new one', async (t) => {
  const { gateway, url } = await opened(t);
  let kill = false;
  const origin = await rawApplication(t, (socket) => {
    let asked = 0;
    // It dies at the second request, as an application does that closes just then.
    socket.on('data', () => (++asked > 1 && kill ? socket.resetAndDestroy() : setTimeout(() => socket.write('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok'), 10)));
  });
  gateway.route('production', whole(backend('one', origin)));
  await Promise.all(Array.from({ length: 8 }, () => call(url)));
  kill = true;
  for (let turn = 0; turn < 8; turn++) assert.equal((await call(url)).body, 'ok');
});

test('with no instance it answers 503, and the instances that come are found', async (t) => {
  const { gateway, url } = await opened(t);
  gateway.route('production', whole(backend('one')));
  const answer = await call(url);
  assert.equal(answer.statusCode, 503);
  assert.equal(answer.headers['cairn-release'], digestOf('release one'));
  gateway.route('production', whole(backend('one', await application(t, (_, response) => response.end('here')))));
  assert.equal((await call(url)).body, 'here');
});

test('an instance that is taken out finishes what it has, and gets nothing more', async (t) => {
  const at = await opened(t);
  let release: () => void = () => {};
  let closed = false;
  const leaving = await application(t, (_, response) => (release = () => response.end('leaving')), (server) => server.on('connection', (socket) => socket.on('close', () => (closed = true))));
  const staying = await application(t, (_, response) => response.end('staying'));
  at.gateway.route('production', whole(backend('one', leaving)));
  const pending = call(at.url);
  await inFlight(at, 'one', 1);
  await sleep(20);
  at.gateway.route('production', whole(backend('one', staying)));
  for (let turn = 0; turn < 3; turn++) assert.equal((await call(at.url)).body, 'staying');
  release();
  assert.equal((await pending).body, 'leaving');
  while (!closed) await sleep(5);
});

test('a request that no instance answers in time is told so', async (t) => {
  const at = await opened(t, { limits: { answerMs: 50 } });
  at.gateway.route('production', whole(backend('one', await application(t, () => {}))));
  const pending = exchange(at.port, 'GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
  assert.match(await pending, /^HTTP\/1\.1 504 /);
  await inFlight(at, 'one', 0);
});

test('an event stream may be silent for longer than an answer may take', async (t) => {
  const at = await opened(t, { limits: { answerMs: 50 } });
  const origin = await application(t, (_, response) => {
    response.flushHeaders();
    setTimeout(() => response.end('at last'), 1_300);
  });
  at.gateway.route('production', whole(backend('one', origin)));
  assert.equal((await call(at.url)).body, 'at last');
});

test('past the limit of connections requests wait in line, and past that of the line they are refused', async (t) => {
  const at = await opened(t, { limits: { connections: 2, waiting: 2 } });
  const answers: (() => void)[] = [];
  let connections = 0;
  const origin = await application(t, (request, response) => answers.push(() => response.end(request.url)), (server) => server.on('connection', () => connections++));
  at.gateway.route('production', whole(backend('one', origin)));
  const pending = ['/1', '/2', '/3', '/4'].map((path) => call(at.url, {}, 'GET', path));
  await inFlight(at, 'one', 4);
  while (answers.length < 2) await sleep(5);
  assert.equal((await call(at.url)).statusCode, 503);
  for (let turn = 0; turn < 4; turn++) {
    while (answers.length === 0) await sleep(5);
    answers.shift()?.();
  }
  assert.deepEqual((await Promise.all(pending)).map(({ body }) => body), ['/1', '/2', '/3', '/4']);
  assert.equal(connections, 2);
});

test('who leaves the line loses the turn to the next, and costs no connection', async (t) => {
  const at = await opened(t, { limits: { connections: 1 } });
  let connections = 0;
  const asked: string[] = [];
  const answers: (() => void)[] = [];
  const origin = await application(t, (request, response) => {
    asked.push(request.url ?? '');
    answers.push(() => response.end('ok'));
  }, (server) => server.on('connection', () => connections++));
  at.gateway.route('production', whole(backend('one', origin)));
  const first = call(at.url, {}, 'GET', '/first');
  while (answers.length === 0) await sleep(5);
  const leaving = connect(at.port, '127.0.0.1');
  leaving.write('GET /leaving HTTP/1.1\r\nHost: a\r\n\r\n');
  await inFlight(at, 'one', 2);
  const next = call(at.url, {}, 'GET', '/next');
  await inFlight(at, 'one', 3);
  leaving.destroy();
  await inFlight(at, 'one', 2);
  answers.shift()?.();
  while (answers.length === 0) await sleep(5);
  answers.shift()?.();
  assert.deepEqual([(await first).body, (await next).body], ['ok', 'ok']);
  assert.deepEqual(asked, ['/first', '/next']);
  assert.equal(connections, 1);
});

test('who waits for an instance that goes finds another', async (t) => {
  const at = await opened(t, { limits: { connections: 1 } });
  const asked: string[] = [];
  const answers: (() => void)[] = [];
  const stuck = await application(t, (request, response) => {
    asked.push(request.url ?? '');
    answers.push(() => response.end('stuck'));
  });
  at.gateway.route('production', whole(backend('one', stuck)));
  const first = call(at.url, {}, 'GET', '/first');
  while (answers.length === 0) await sleep(5);
  const waiting = call(at.url, {}, 'POST', '/waiting', 'body');
  await inFlight(at, 'one', 2);
  at.gateway.route('production', whole(backend('one', await application(t, (request, response) => request.pipe(response)))));
  assert.equal((await waiting).body, 'body');
  answers[0]?.();
  assert.equal((await first).body, 'stuck');
  assert.deepEqual(asked, ['/first']);
});
