import assert from 'node:assert/strict';
import { once } from 'node:events';
import { request as httpRequest, type ClientRequest, type IncomingMessage } from 'node:http';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { application, backend, call, exchange, inFlight, opened, rawApplication, whole } from './fixture.ts';

async function answerTo(request: ClientRequest): Promise<IncomingMessage> {
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  return response;
}

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

test('an application that reads slowly slows the upload, which is no stall', async (t) => {
  const { gateway, url } = await opened(t, { limits: { stallMs: 400 } });
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
  await sleep(900);
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

test('an upload that stalls is ended, and frees the application', async (t) => {
  const at = await opened(t, { limits: { stallMs: 100 } });
  let aborted = false;
  const origin = await application(t, (request) => request.resume().on('close', () => (aborted = !request.complete)).on('error', () => {}));
  at.gateway.route('production', whole(backend('one', origin)));
  const answer = await exchange(at.port, 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf');
  assert.match(answer, /^HTTP\/1\.1 408 /);
  await inFlight(at, 'one', 0);
  while (!aborted) await sleep(5);
});

test('an upload that stalls while it is being answered is between the two', async (t) => {
  const { gateway, url } = await opened(t, { limits: { stallMs: 60 } });
  gateway.route('production', whole(backend('one', await application(t, (request, response) => request.pipe(response)))));
  const request = httpRequest(url, { method: 'POST' });
  request.write('ping');
  const response = await answerTo(request);
  await sleep(200);
  request.end(' pong');
  assert.equal(await text(response), 'ping pong');
});

test('an upload that is slow, but comes, is not ended', async (t) => {
  const { gateway, url } = await opened(t, { limits: { stallMs: 100 } });
  gateway.route('production', whole(backend('one', await application(t, (request, response) => request.resume().on('end', () => response.end('all of it'))))));
  const request = httpRequest(url, { method: 'POST' });
  for (let piece = 0; piece < 8; piece++) {
    request.write('x');
    await sleep(40);
  }
  request.end();
  assert.equal(await text(await answerTo(request)), 'all of it');
});
