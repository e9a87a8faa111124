import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { digestOf } from '#core';
import { application, backend, call, exchange, inFlight, opened, rawApplication, saying, until, whole } from './fixture.ts';

test('answers that can be read in two ways are none: 502, and what came is not passed on', async (t) => {
  const { gateway, url } = await opened(t);
  const shapes: Record<string, string> = {
    'no HTTP': 'hello\r\n\r\n',
    'another version': 'HTTP/2 200 OK\r\n\r\n',
    'no status': 'HTTP/1.1 OK\r\n\r\n',
    'a status out of range': 'HTTP/1.1 999 OK\r\ncontent-length: 0\r\n\r\n',
    'a bare line feed': 'HTTP/1.1 200 OK\ncontent-length: 2\n\nok\r\n\r\n',
    'a line feed in a header': 'HTTP/1.1 200 OK\r\nx: 1\nset-cookie: a=1\r\n\r\n',
    'a folded line': 'HTTP/1.1 200 OK\r\nx: 1\r\n set-cookie: a=1\r\n\r\n',
    'a space before the colon': 'HTTP/1.1 200 OK\r\ncontent-length : 2\r\n\r\nok',
    'a line without a colon': 'HTTP/1.1 200 OK\r\nset-cookie\r\n\r\n',
    'a nameless header': 'HTTP/1.1 200 OK\r\n: 1\r\n\r\n',
    'a NUL': 'HTTP/1.1 200 OK\r\nx: \0\r\n\r\n',
    'two lengths': 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok!',
    'a list of lengths': 'HTTP/1.1 200 OK\r\ncontent-length: 2, 2\r\n\r\nok',
    'a length with a sign': 'HTTP/1.1 200 OK\r\ncontent-length: -2\r\n\r\nok',
    'a length in hex': 'HTTP/1.1 200 OK\r\ncontent-length: 0x2\r\n\r\nok',
    'length and chunks': 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n',
    'another coding': 'HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\nok',
    'a coding too many': 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n',
    'chunks in HTTP/1.0': 'HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n',
    'a head without an end': `HTTP/1.1 200 OK\r\nx: ${'x'.repeat(70_000)}`,
  };
  for (const [name, bytes] of Object.entries(shapes)) {
    gateway.route('production', whole(backend(name, await saying(t, bytes))));
    const answer = await call(url);
    assert.equal(answer.statusCode, 502, name);
    assert.equal(answer.headers['set-cookie'], undefined, name);
    assert.equal(answer.headers['cairn-release'], digestOf(`release ${name}`));
    assert.match(JSON.parse(answer.body).error.message, /malformed/, name);
    assert.equal(gateway.counts(digestOf(name)).errors, 1, name);
  }
});

test('malformed chunks break the answer, so that it does not look whole', async (t) => {
  const { gateway, url } = await opened(t);
  const head = 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n';
  for (const rest of ['x\r\n', '3\r\nabcd\r\n', '3\nabc\r\n0\r\n\r\n', '-3\r\nabc\r\n', '1000000000000000\r\n', '0\r\nno trailer\r\n\r\n', `3;${'x'.repeat(20_000)}`, `0\r\n${'a: b\r\n'.repeat(5_000)}\r\n`]) {
    gateway.route('production', whole(backend('one', await saying(t, head + rest))));
    await assert.rejects(call(url), { code: 'ECONNRESET' }, JSON.stringify(rest.slice(0, 40)));
  }
});

test('an answer that ends before its length breaks, one that goes on behind it reaches nobody', async (t) => {
  const { gateway, url } = await opened(t);
  const short = await rawApplication(t, (socket) => socket.on('data', () => socket.end('HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf')));
  gateway.route('production', whole(backend('short', short)));
  await assert.rejects(call(url), { code: 'ECONNRESET' });
  let connections = 0;
  const long = await rawApplication(t, (socket) => {
    connections++;
    socket.on('data', () => socket.write('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nforged'));
  });
  gateway.route('production', whole(backend('long', long)));
  for (let turn = 0; turn < 3; turn++) assert.equal((await call(url)).body, 'ok');
  assert.equal(connections, 3);
});

test('what an application says unasked on a kept connection reaches nobody', async (t) => {
  const { gateway, url } = await opened(t);
  const origin = await rawApplication(t, (socket) => {
    socket.on('data', () => {
      socket.write('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok');
      setTimeout(() => socket.write('HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nforged'), 10);
    });
  });
  gateway.route('production', whole(backend('one', origin)));
  for (let turn = 0; turn < 3; turn++) {
    assert.equal((await call(url)).body, 'ok');
    await sleep(30);
  }
});

test('an answer whose end is the end of its connection is whole', async (t) => {
  const { gateway, url } = await opened(t);
  const origin = await rawApplication(t, (socket) =>
    socket.once('data', () => {
      socket.write('HTTP/1.0 200 Fine\r\ncontent-type: text/plain\r\n\r\nfirst ');
      setTimeout(() => socket.end('last'), 10);
    }),
  );
  gateway.route('production', whole(backend('one', origin)));
  const answer = await call(url);
  assert.equal(answer.body, 'first last');
  assert.equal(answer.statusMessage, 'Fine');
});

test('an answer that comes byte by byte is the same answer', async (t) => {
  const { gateway, url } = await opened(t);
  const origin = await rawApplication(t, (socket) =>
    socket.once('data', async () => {
      for (const byte of Buffer.from('HTTP/1.1 103 Early Hints\r\nlink: a\r\n\r\nHTTP/1.1 201 Made\r\nx: 1 \r\ntransfer-encoding: Chunked\r\n\r\n5;q="\t"\r\nhello\r\n06\r\n world\r\n0\r\nx-sum: 7\r\n\r\n')) {
        socket.write(Buffer.of(byte));
        await new Promise(setImmediate);
      }
    }),
  );
  gateway.route('production', whole(backend('one', origin)));
  const answer = await call(url);
  assert.equal(answer.statusCode, 201);
  assert.equal(answer.headers['x'], '1');
  assert.equal(answer.body, 'hello world');
  assert.equal(answer.trailers['x-sum'], '7');
});

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
  const leaving = await application(t, (_, response) => (release = () => response.end('leaving')));
  const staying = await application(t, (_, response) => response.end('staying'));
  at.gateway.route('production', whole(backend('one', leaving)));
  const pending = call(at.url);
  await inFlight(at, 'one', 1);
  await sleep(20);
  at.gateway.route('production', whole(backend('one', staying)));
  for (let turn = 0; turn < 3; turn++) assert.equal((await call(at.url)).body, 'staying');
  release();
  assert.equal((await pending).body, 'leaving');
});

test('a path through a drained content opens again', async (t) => {
  const { gateway, url } = await opened(t);
  const one = backend('one', await application(t, (_, response) => response.end('one')));
  gateway.route('production', whole(one));
  await call(url);
  gateway.route('production', []);
  await gateway.drain(one.content, 50);
  gateway.route('production', whole(one));
  assert.equal((await call(url)).body, 'one');
  assert.equal(gateway.counts(one.content).requests, 2);
});

test('closing lets what is in flight finish, and then nobody is connected', async (t) => {
  const at = await opened(t);
  at.gateway.route('production', whole(backend('one', await application(t, (_, response) => setTimeout(() => response.end('done'), 50)))));
  const socket = connect(at.port, '127.0.0.1');
  socket.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
  await inFlight(at, 'one', 1);
  const closed = at.gateway.close(5_000);
  assert.match(await until(socket, 'done'), /^HTTP\/1\.1 200 /);
  await closed;
  const refused = connect(at.port, '127.0.0.1');
  const [error] = (await once(refused, 'error')) as [NodeJS.ErrnoException];
  assert.equal(error.code, 'ECONNREFUSED');
});

test('a request that no instance takes in time is told so', async (t) => {
  let now = 0;
  const at = await opened(t, { clock: { now: () => new Date(), elapsed: () => now } });
  at.gateway.route('production', whole(backend('one', await application(t, () => {}))));
  const pending = exchange(at.port, 'GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
  await inFlight(at, 'one', 1);
  await sleep(20);
  now += 301_000;
  assert.match(await pending, /^HTTP\/1\.1 504 /);
});
