import assert from 'node:assert/strict';
import { once } from 'node:events';
import { request as httpRequest, type ClientRequest, type IncomingMessage } from 'node:http';
import { connect } from 'node:net';
import { buffer, text } from 'node:stream/consumers';
import { test } from 'node:test';
import { digestOf } from '#core';
import { application, backend, call, exchange, opened, saying, until, whole } from './fixture.ts';

async function answerTo(request: ClientRequest): Promise<IncomingMessage> {
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  return response;
}

test('events arrive one by one, and the head before the first of them', async (t) => {
  const { gateway, url } = await opened(t);
  let say: (event: string) => void = () => {};
  const origin = await application(t, (_, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' }).flushHeaders();
    say = (event) => response.write(`data: ${event}\n\n`);
  });
  gateway.route('production', whole(backend('one', origin)));
  const request = httpRequest(url);
  request.end();
  const response = await answerTo(request);
  assert.equal(response.headers['content-type'], 'text/event-stream');
  for (const event of ['first', 'second']) {
    say(event);
    const [piece] = (await once(response, 'data')) as [Buffer];
    assert.equal(piece.toString(), `data: ${event}\n\n`);
  }
  request.destroy();
});

test('an event stream is in flight, and is cut at the drain deadline', async (t) => {
  const at = await opened(t);
  const streaming = await application(t, (_, response) => response.writeHead(200, { 'content-type': 'text/event-stream' }).flushHeaders());
  at.gateway.route('production', whole(backend('old', streaming)));
  const request = httpRequest(at.url);
  request.on('error', () => {});
  request.end();
  const response = await answerTo(request);
  at.gateway.route('production', whole(backend('new', streaming)));
  assert.equal(at.gateway.counts(digestOf('old')).inFlight, 1);
  const broken = assert.rejects(text(response), { code: 'ECONNRESET' });
  const { inFlight: left, milliseconds } = await at.gateway.drain(digestOf('old'), 50);
  assert.equal(left, 1);
  assert.ok(milliseconds >= 45, `${milliseconds} ms`);
  await broken;
  assert.equal(at.gateway.counts(digestOf('old')).inFlight, 0);
});

test('what an application announces on the way is passed on', async (t) => {
  const { gateway, url } = await opened(t);
  const origin = await application(t, (_, response) => {
    response.writeEarlyHints({ link: '</style.css>; rel=preload' });
    response.end('page');
  });
  gateway.route('production', whole(backend('one', origin)));
  const request = httpRequest(url);
  const hints = once(request, 'information');
  const answer = answerTo(request).then(text);
  request.end();
  const [information] = (await hints) as [{ statusCode: number; headers: Record<string, string> }];
  assert.equal(information.statusCode, 103);
  assert.equal(information.headers['link'], '</style.css>; rel=preload');
  assert.equal(await answer, 'page');
});

test('who did not ask whether to continue is not told', async (t) => {
  const { gateway, port } = await opened(t);
  gateway.route('production', whole(backend('one', await saying(t, 'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok'))));
  assert.match(await exchange(port, 'GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n'), /^HTTP\/1\.1 200 /);
});

test('trailers pass both ways, but not those that would change what was decided before', async (t) => {
  const { gateway, port, url } = await opened(t);
  const origin = await application(t, (request, response) => {
    request.resume().on('end', () => {
      response.writeHead(200, { trailer: 'x-sum, cairn-release' });
      response.write(JSON.stringify(request.trailers));
      response.addTrailers({ 'x-sum': '42', 'cairn-release': 'forged', 'set-cookie': 'a=1' });
      response.end();
    });
  });
  gateway.route('production', whole(backend('one', origin)));
  const request = httpRequest(url);
  request.end();
  const response = await answerTo(request);
  await text(response);
  assert.deepEqual({ ...response.trailers }, { 'x-sum': '42' });
  const trailers = 'X-Sum: 1\r\nHost: b\r\nX-Forwarded-For: 6.6.6.6\r\nAuthorization: me\r\n';
  const answer = await exchange(port, `POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n${trailers}\r\n`);
  assert.match(answer, /\{"x-sum":"1"\}/);
});

test('HEAD, 204 and 304 have no body and keep the connection', async (t) => {
  const { gateway, port } = await opened(t);
  let connections = 0;
  const origin = await application(
    t,
    (request, response) => {
      if (request.url === '/204') response.writeHead(204).end();
      else if (request.url === '/304') response.writeHead(304, { etag: '"x"', 'content-length': '10' }).end();
      else response.writeHead(200, { 'content-length': '10' }).end(request.method === 'HEAD' ? undefined : '0123456789');
    },
    (server) => server.on('connection', () => connections++),
  );
  gateway.route('production', whole(backend('one', origin)));
  const socket = connect(port, '127.0.0.1');
  t.after(() => socket.destroy());
  for (const [method, path, status] of [['HEAD', '/', 200], ['GET', '/204', 204], ['GET', '/304', 304]] as const) {
    socket.write(`${method} ${path} HTTP/1.1\r\nHost: a\r\n\r\n`);
    const head = await until(socket, '\r\n\r\n');
    assert.match(head, new RegExp(`^HTTP/1\\.1 ${status} `));
    assert.ok(head.endsWith('\r\n\r\n'));
    if (path !== '/204') assert.match(head, /content-length: 10\r\n/);
    assert.doesNotMatch(head, /transfer-encoding/i);
  }
  socket.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
  assert.ok((await until(socket, '0123456789')).endsWith('\r\n\r\n0123456789'));
  assert.equal(connections, 1);
});

test('bodies that wait for slow readers stay what they are', async (t) => {
  const { gateway, port } = await opened(t);
  const size = 300_000;
  // /x8: 8 pieces of the letter, or in one where it is short.
  const origin = await application(t, (request, response) => {
    const [, letter = '', count = ''] = /^\/(.)(\d+)$/.exec(request.url ?? '') ?? [];
    const body = Buffer.alloc(Number(count) * size, letter);
    response.setHeader('content-length', body.length);
    response.end(body);
  });
  const short = await application(t, (request, response) => response.end(Buffer.alloc(40_000, request.url?.[1])));
  gateway.route('production', [...whole(backend('one', origin)), { host: 'short', path: '/', split: [{ backend: backend('short', short), weight: 100 }], assets: null }]);
  const letters = ['a', 'b', 'c', 'd'];
  const sockets = letters.map((letter) => {
    const socket = connect(port, '127.0.0.1').pause();
    const others = letters.map((other) => `GET /${other} HTTP/1.1\r\nHost: short\r\n\r\n`).join('');
    socket.write(`GET /${letter}40 HTTP/1.1\r\nHost: a\r\n\r\n${others}GET /${letter}1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`);
    return socket;
  });
  await new Promise((resolve) => setTimeout(resolve, 300));
  const bodies = await Promise.all(sockets.map((socket) => text(socket)));
  for (const [at, all] of bodies.entries()) {
    const mine = letters[at] ?? '';
    const runs = all.split(/(?:^|\r\n\r\n|(?<=[abcd]))HTTP[^]*?\r\n\r\n/).filter((run) => run !== '');
    const expected = [mine.repeat(40 * size), ...letters.map((letter) => letter.repeat(40_000)), mine.repeat(size)];
    assert.deepEqual(runs.map((run) => run.length), expected.map((run) => run.length));
    assert.ok(runs.every((run, place) => run === expected[place]));
  }
  // And the connections to the application that waited with them are of use again.
  const again = await Promise.all(Array.from({ length: 12 }, () => exchange(port, 'GET /z1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n')));
  assert.ok(again.every((answer) => answer.endsWith('z'.repeat(size))));
});

test('a connection that was held back at its last piece is of use again', async (t) => {
  const { gateway, url } = await opened(t);
  let connections = 0;
  // The last read fills the whole buffer, which is as much as a client's socket takes before it asks to wait.
  const origin = await application(t, (_, response) => {
    response.writeHead(200, { 'content-length': 2 << 16 }).flushHeaders();
    setTimeout(() => response.end(Buffer.alloc(2 << 16)), 20);
  }, (server) => server.on('connection', () => connections++));
  gateway.route('production', whole(backend('one', origin)));
  for (let turn = 0; turn < 10; turn++) assert.equal((await call(url)).body.length, 2 << 16);
  assert.equal(connections, 1);
});

test('bodies of every length around a buffer arrive as they are', async (t) => {
  const { gateway, url } = await opened(t);
  const all = Buffer.from(Uint8Array.from({ length: 200_000 }, (_, at) => (at * 7 + (at >> 8)) & 255));
  const origin = await application(t, (request, response) => {
    const size = Number(request.url?.slice(1).split('?')[0]);
    if (request.url?.endsWith('?chunked') === true) response.writeHead(200);
    else response.writeHead(200, { 'content-length': size });
    response.end(all.subarray(0, size));
  });
  gateway.route('production', whole(backend('one', origin)));
  for (const size of [0, 1, 511, 16_383, 16_384, 16_385, 65_300, 65_535, 65_536, 65_537, 131_072, 199_999]) {
    for (const form of ['', '?chunked']) {
      const request = httpRequest(url, { path: `/${size}${form}`, agent: false });
      request.end();
      assert.ok((await buffer(await answerTo(request))).equals(all.subarray(0, size)), `${size}${form}`);
    }
  }
});

test('a stream is cut by the deadline of the switch that left it behind, not by one from before it came, and also where its content is still asked for assets', async (t) => {
  const { gateway, url } = await opened(t);
  const streaming = await application(t, (_, response) => response.writeHead(200, { 'content-type': 'text/event-stream' }).flushHeaders());
  const [one, two] = [backend('one', streaming), backend('two', streaming)];
  const leftForAssets = () => gateway.route('production', whole(two).map((route) => ({ ...route, assets: one })));
  gateway.route('production', whole(one));
  const early = httpRequest(url);
  early.on('error', () => {}).end();
  const first = await answerTo(early);
  first.on('error', () => {});
  leftForAssets();
  const draining = gateway.drain(one.content, 200);
  gateway.route('production', whole(one));
  const late = httpRequest(url);
  late.on('error', () => {}).end();
  const second = await answerTo(late);
  let cut = false;
  second.on('error', () => (cut = true)).on('close', () => (cut = true));
  leftForAssets();
  assert.equal((await draining).inFlight, 0);
  assert.equal(cut, false);
  assert.equal((await gateway.drain(one.content, 50)).inFlight, 2);
  if (!cut) await new Promise((resolve) => second.once('close', resolve));
  assert.equal(cut, true);
});
