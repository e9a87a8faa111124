import assert from 'node:assert/strict';
import { once } from 'node:events';
import { request as httpRequest, type ClientRequest, type IncomingMessage } from 'node:http';
import { connect } from 'node:net';
import { buffer, text } from 'node:stream/consumers';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { digestOf } from '#core';
import { application, backend, call, exchange, inFlight, opened, rawApplication, until, whole } from './fixture.ts';

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

test('a large upload streams through, with a length and in chunks', async (t) => {
  const { gateway, url } = await opened(t);
  let most = 0;
  const origin = await application(t, (request, response) => {
    let size = 0;
    request.on('data', (piece: Buffer) => {
      size += piece.length;
      most = Math.max(most, piece.length);
    });
    request.on('end', () => response.end(`${size} ${request.headers['content-length'] ?? request.headers['transfer-encoding']}`));
  });
  gateway.route('production', whole(backend('one', origin)));
  const piece = Buffer.alloc(1 << 20, 'u');
  for (const headers of [{ 'content-length': String(48 << 20) }, {}]) {
    const request = httpRequest(url, { method: 'PUT', headers });
    for (let sent = 0; sent < 48; sent++) if (!request.write(piece)) await once(request, 'drain');
    request.end();
    assert.equal(await text(await answerTo(request)), `${48 << 20} ${headers['content-length'] ?? 'chunked'}`);
  }
  assert.ok(most < 2 << 20);
});

test('an application that reads slowly slows the upload', async (t) => {
  const { gateway, url } = await opened(t);
  let read: () => void = () => {};
  const origin = await application(t, (request, response) => {
    read = () => request.resume().on('end', () => response.end('read'));
  });
  gateway.route('production', whole(backend('one', origin)));
  const request = httpRequest(url, { method: 'POST' });
  const piece = Buffer.alloc(1 << 20);
  const size = 64;
  let sent = 0;
  const more = (): void => {
    while (sent < size) if ((sent++, !request.write(piece))) return void request.once('drain', more);
    request.end();
  };
  more();
  await sleep(200);
  assert.ok(sent < size / 2, `${sent} MB were taken from the client while nobody read`);
  read();
  assert.equal(await text(await answerTo(request)), 'read');
});

test('an upload is answered while it is still coming, both ways at once', async (t) => {
  const { gateway, url } = await opened(t);
  gateway.route('production', whole(backend('one', await application(t, (request, response) => request.pipe(response)))));
  const request = httpRequest(url, { method: 'POST' });
  request.write('ping');
  const response = await answerTo(request);
  for (const word of ['ping', 'pong']) {
    if (word === 'pong') request.write('pong');
    const [piece] = (await once(response, 'data')) as [Buffer];
    assert.equal(piece.toString(), word);
  }
  request.end();
  assert.equal(await text(response), '');
});

test('an answer before the end of the upload arrives whole, and the connection to the application is not used again', async (t) => {
  const { gateway, url } = await opened(t);
  let connections = 0;
  const origin = await application(
    t,
    (request, response) => (request.method === 'POST' ? response.writeHead(413).end('too large') : response.end('ok')),
    (server) => server.on('connection', () => connections++),
  );
  gateway.route('production', whole(backend('one', origin)));
  const request = httpRequest(url, { method: 'POST' });
  request.on('error', () => {});
  request.write(Buffer.alloc(1 << 16));
  const response = await answerTo(request);
  assert.equal(response.statusCode, 413);
  assert.equal(await text(response), 'too large');
  assert.equal((await call(url)).body, 'ok');
  assert.equal(connections, 2);
  request.destroy();
});

test('who expects 100-continue is answered by the application: it may take the upload', async (t) => {
  const { gateway, url } = await opened(t);
  const order: string[] = [];
  const origin = await application(t, () => {}, (server) =>
    server.on('checkContinue', (request, response) => {
      order.push('asked');
      response.writeContinue();
      request.on('data', () => order.push('body')).on('end', () => response.end(order.join(' ')));
    }),
  );
  gateway.route('production', whole(backend('one', origin)));
  const request = httpRequest(url, { method: 'POST', headers: { expect: '100-continue', 'content-length': '5' } });
  request.flushHeaders();
  await once(request, 'continue');
  order.push('told');
  request.end('hello');
  assert.equal(await text(await answerTo(request)), 'asked told body');
});

test('who expects 100-continue is answered by the application: it may refuse the upload unseen', async (t) => {
  const { gateway, port } = await opened(t);
  let bytes = 0;
  const origin = await application(t, () => {}, (server) =>
    server.on('checkContinue', (request, response) => {
      request.on('data', (piece: Buffer) => (bytes += piece.length));
      response.writeHead(401).end('who are you');
    }),
  );
  gateway.route('production', whole(backend('one', origin)));
  const answer = await exchange(port, 'POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1000000\r\n\r\n');
  assert.match(answer, /^HTTP\/1\.1 401 /);
  assert.match(answer, /\r\nconnection: close\r\n/i);
  assert.equal(bytes, 0);
});

test('without an application nobody is told to continue, and another expectation is refused', async (t) => {
  const { gateway, port } = await opened(t);
  gateway.route('production', whole(backend('gone', 'http://127.0.0.1:1')));
  assert.match(await exchange(port, 'POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n'), /^HTTP\/1\.1 502 /);
  assert.match(await exchange(port, 'POST / HTTP/1.1\r\nHost: a\r\nExpect: tea\r\nConnection: close\r\nContent-Length: 0\r\n\r\n'), /^HTTP\/1\.1 417 /);
});

test('an application that has never heard of Expect does not keep the upload waiting', async (t) => {
  const { gateway, url } = await opened(t);
  const origin = await rawApplication(t, (socket) => {
    let all = '';
    socket.on('data', (bytes) => {
      all += bytes.toString();
      if (all.endsWith('hello')) socket.write('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok');
    });
  });
  gateway.route('production', whole(backend('one', origin)));
  const request = httpRequest(url, { method: 'POST', headers: { expect: '100-continue', 'content-length': '5' } });
  request.flushHeaders();
  await once(request, 'continue');
  request.end('hello');
  assert.equal(await text(await answerTo(request)), 'ok');
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

test('an upload that stalls is ended, and frees the application', async (t) => {
  const at = await opened(t, { stallMs: 100 });
  let aborted = false;
  const origin = await application(t, (request) => request.resume().on('close', () => (aborted = !request.complete)).on('error', () => {}));
  at.gateway.route('production', whole(backend('one', origin)));
  const answer = await exchange(at.port, 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf');
  assert.match(answer, /^HTTP\/1\.1 408 /);
  await inFlight(at, 'one', 0);
  while (!aborted) await sleep(5);
});

test('an upload that is slow, but comes, is not ended', async (t) => {
  const { gateway, url } = await opened(t, { stallMs: 100 });
  gateway.route('production', whole(backend('one', await application(t, (request, response) => request.resume().on('end', () => response.end('all of it'))))));
  const request = httpRequest(url, { method: 'POST' });
  for (let piece = 0; piece < 8; piece++) {
    request.write('x');
    await sleep(40);
  }
  request.end();
  assert.equal(await text(await answerTo(request)), 'all of it');
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
