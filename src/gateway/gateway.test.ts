import assert from 'node:assert/strict';
import { once } from 'node:events';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { createServer as createTcpServer, type AddressInfo } from 'node:net';
import { buffer, text } from 'node:stream/consumers';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { digestOf } from '#core';
import { application, backend, call, exchange, opened, whole } from './fixture.ts';

test('without a route it answers 503, and says what to do', async (t) => {
  const { url } = await opened(t);
  const response = await call(url);
  assert.equal(response.statusCode, 503);
  assert.match(JSON.parse(response.body).error.fix, /cairn promote/);
});

test('the application sees the real host and client, and neither side can claim a release', async (t) => {
  const { gateway, url } = await opened(t);
  const origin = await application(t, (request, response) => {
    response.setHeader('cairn-release', 'sha256:forged');
    response.setHeader('set-cookie', ['a=1', 'b=2']);
    response.setHeader('x-private', '1');
    response.setHeader('connection', 'x-private, keep-alive');
    response.end(JSON.stringify({ url: request.url, headers: request.headers }));
  });
  const live = backend('one', origin);
  gateway.route('production', whole(live));
  const response = await call(
    url,
    {
      host: 'shop.example',
      'x-forwarded-for': '10.9.9.9',
      forwarded: 'for=10.9.9.9',
      'cairn-release': 'sha256:mine',
      connection: 'x-hop, keep-alive',
      'x-hop': '1',
      'x-kept': 'yes',
    },
    'GET',
    '/a?b=%20c',
  );
  const seen = JSON.parse(response.body);
  assert.equal(seen.url, '/a?b=%20c');
  assert.equal(seen.headers.host, 'shop.example');
  assert.equal(seen.headers['x-forwarded-for'], '127.0.0.1');
  assert.equal(seen.headers['x-forwarded-host'], 'shop.example');
  assert.equal(seen.headers['x-forwarded-proto'], 'http');
  assert.equal(seen.headers['x-kept'], 'yes');
  for (const gone of ['x-hop', 'cairn-release', 'forwarded']) assert.equal(seen.headers[gone], undefined, gone);
  assert.equal(response.headers['cairn-release'], live.release);
  assert.deepEqual(response.headers['set-cookie'], ['a=1', 'b=2']);
  assert.equal(response.headers['x-private'], undefined);
});

test('the absolute form names the host; what is no target is refused', async (t) => {
  const { gateway, url } = await opened(t);
  gateway.route('production', whole(backend('one', await application(t, (request, response) => response.end(`${request.headers.host}${request.url}`)))));
  assert.equal((await call(url, {}, 'GET', 'http://shop.example/x')).body, 'shop.example/x');
  assert.equal((await call(url, {}, 'OPTIONS', '*')).statusCode, 400);
});

test('two Host headers are refused, since each side might believe another', async (t) => {
  const { gateway, port } = await opened(t);
  gateway.route('production', whole(backend('one', await application(t, (_, response) => response.end('reached')))));
  assert.match(await exchange(port, 'GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\nConnection: close\r\n\r\n'), /^HTTP\/1\.1 400 /);
});

test('bodies stream both ways, and a slow reader slows the application', async (t) => {
  const { gateway, url } = await opened(t);
  const size = 64 << 20;
  let written = 0;
  const origin = await application(t, (request, response) => {
    if (request.method === 'POST') {
      request.pipe(response);
      return;
    }
    const chunk = Buffer.alloc(1 << 16);
    const more = (): void => {
      while (written < size) {
        written += chunk.length;
        if (!response.write(chunk)) return void response.once('drain', more);
      }
      response.end();
    };
    more();
  });
  gateway.route('production', whole(backend('one', origin)));

  const sent = Buffer.alloc(3 << 20, 'cairn');
  const request = httpRequest(url, { method: 'POST' });
  request.end(sent);
  const [echo] = (await once(request, 'response')) as [IncomingMessage];
  assert.ok((await buffer(echo)).equals(sent));

  const slow = httpRequest(url);
  slow.end();
  const [response] = (await once(slow, 'response')) as [IncomingMessage];
  await sleep(200);
  assert.ok(written < size / 2, `${written} bytes were taken from the application while nobody read`);
  assert.equal((await buffer(response)).byteLength, size);
});

test('an upload that the application does not take ends in a 502, not in a broken connection', async (t) => {
  const { gateway, url } = await opened(t);
  gateway.route('production', whole(backend('gone', 'http://127.0.0.1:1')));
  const request = httpRequest(url, { method: 'POST', headers: { 'content-length': String(8 << 20) } });
  request.on('error', () => {});
  request.write(Buffer.alloc(1 << 16));
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  assert.equal(response.statusCode, 502);
  assert.equal(JSON.parse(await text(response)).error.code, 'unreachable');
  assert.deepEqual({ ...gateway.counts(digestOf('gone')), inFlight: 0 }, { requests: 1, responses: 0, errors: 1, inFlight: 0 });
});

test('requests take turns over the origins, and one that died costs no safe request', async (t) => {
  const { gateway, url } = await opened(t);
  const first = await application(t, (_, response) => response.end('first'));
  const second = await application(t, (_, response) => response.end('second'));
  gateway.route('production', whole(backend('one', first, second)));
  const seen = new Set([(await call(url)).body, (await call(url)).body]);
  assert.deepEqual(seen, new Set(['first', 'second']));
  gateway.route('production', whole(backend('one', first, 'http://127.0.0.1:1')));
  for (let i = 0; i < 4; i++) assert.equal((await call(url)).body, 'first');
});

test('a safe request whose connection dies unanswered is sent once more, another is not', async (t) => {
  const { gateway, url } = await opened(t);
  let connections = 0;
  const server = createTcpServer((socket) => {
    socket.on('error', () => {});
    socket.once('data', () => {
      if (++connections % 2 === 1) socket.destroy();
      else socket.end('HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok');
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  gateway.route('production', whole(backend('flaky', `http://127.0.0.1:${(server.address() as AddressInfo).port}`)));
  assert.equal((await call(url)).body, 'ok');
  assert.equal(connections, 2);
  assert.equal((await call(url, {}, 'DELETE')).statusCode, 502);
  assert.equal(connections, 3);
});

test('an answer that the application breaks off does not look whole', async (t) => {
  const { gateway, url } = await opened(t);
  const origin = await application(t, (_, response) => {
    response.write('half');
    setTimeout(() => response.destroy(), 20);
  });
  gateway.route('production', whole(backend('one', origin)));
  await assert.rejects(call(url), { code: 'ECONNRESET' });
  assert.equal(gateway.counts(digestOf('one')).errors, 1);
});

test('a client that leaves frees the application', async (t) => {
  const { gateway, url } = await opened(t);
  let freed: () => void = () => {};
  const isFreed = new Promise<void>((resolve) => (freed = resolve));
  const origin = await application(t, (request, response) => {
    response.write('…');
    request.on('close', freed);
  });
  gateway.route('production', whole(backend('one', origin)));
  const request = httpRequest(url);
  request.on('error', () => {});
  request.end();
  await once(request, 'response');
  request.destroy();
  await isFreed;
  await sleep(20);
  assert.equal(gateway.counts(digestOf('one')).inFlight, 0);
});

test('a port in use is named', async (t) => {
  const { gateway, port } = await opened(t);
  await assert.rejects(gateway.listen('staging', '127.0.0.1', port), { code: 'port-taken', message: new RegExp(`${port}.*staging`) });
});
