import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { digestOf } from '#core';
import { application, backend, call, inFlight, opened, rawApplication, saying, until, whole } from './fixture.ts';

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
  const endings = ['x\r\n', '3\r\nabcd\r\n', '3\nabc\r\n0\r\n\r\n', '-3\r\nabc\r\n', '1000000000000000\r\n', '0\r\nno trailer\r\n\r\n', `3;${'x'.repeat(20_000)}`, `0\r\n${'a: b\r\n'.repeat(5_000)}\r\n`];
  for (const rest of endings) {
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
  // What comes on an open connection meanwhile is answered, and told that it was the last.
  socket.write('GET /last HTTP/1.1\r\nHost: a\r\n\r\n');
  assert.match(await until(socket, /done[^]*done/), /^HTTP\/1\.1 200 [^]*done[^]*connection: close\r\n/i);
  await closed;
  const refused = connect(at.port, '127.0.0.1');
  const [error] = (await once(refused, 'error')) as [NodeJS.ErrnoException];
  assert.equal(error.code, 'ECONNREFUSED');
});
