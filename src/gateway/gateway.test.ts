import assert from 'node:assert/strict';
import { once } from 'node:events';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { createServer as createTcpServer, type AddressInfo } from 'node:net';
import { buffer, text } from 'node:stream/consumers';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Pool } from 'undici';
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

test('after a switch no request reaches the old side, and those in flight finish there', async (t) => {
  const { gateway, url } = await opened(t);
  let release: () => void = () => {};
  const old = await application(t, (_, response) => (release = () => response.end('old')));
  const fresh = await application(t, (_, response) => response.end('new'));
  const former = backend('old', old);
  gateway.route('production', whole(former));
  const pending = call(url);
  while (gateway.counts(former.content).inFlight === 0) await sleep(5);
  gateway.route('production', whole(backend('new', fresh)));
  assert.equal((await call(url)).body, 'new');
  const drained = gateway.drain(former.content, 5_000);
  release();
  assert.equal((await pending).body, 'old');
  assert.equal((await drained).inFlight, 0);
});

test('a content that is routed to again while it drains is not touched', async (t) => {
  const { gateway, url } = await opened(t);
  const answers: (() => void)[] = [];
  const old = backend('old', await application(t, (_, response) => answers.push(() => response.end('old'))));
  gateway.route('production', whole(old));
  const pending = call(url);
  while (answers.length === 0) await sleep(5);
  gateway.route('production', []);
  const drained = gateway.drain(old.content, 50);
  gateway.route('production', whole(old));
  assert.equal((await drained).inFlight, 0);
  answers[0]?.();
  assert.equal((await pending).body, 'old');
});

test('draining what serves waits for nothing', async (t) => {
  const { gateway, url } = await opened(t);
  const stuck = backend('one', await application(t, () => {}));
  gateway.route('production', whole(stuck));
  const pending = call(url);
  while (gateway.counts(stuck.content).inFlight === 0) await sleep(5);
  assert.ok((await gateway.drain(stuck.content, 2_000)).milliseconds < 1_000);
  gateway.route('production', []);
  await gateway.drain(stuck.content, 0);
  assert.equal((await pending).statusCode, 502);
});

test('an asset that is on its way from the revision before is not cut with those that stayed there', async (t) => {
  const { gateway, url } = await opened(t);
  const answers: (() => void)[] = [];
  const before = backend('before', await application(t, (_, response) => answers.push(() => response.end('asset'))));
  const live = backend('live', await application(t, (_, response) => response.writeHead(404).end()));
  gateway.route('production', whole(before));
  const stayed = call(url);
  while (answers.length < 1) await sleep(5);
  gateway.route('production', whole(live, before));
  const asset = call(url, {}, 'GET', '/app.3f2a9c1b.js');
  while (answers.length < 2) await sleep(5);
  assert.equal((await gateway.drain(before.content, 20)).inFlight, 1);
  assert.equal((await stayed).statusCode, 502);
  answers[1]?.();
  assert.equal((await asset).body, 'asset');
});

test('draining ends at its deadline, and never touches the live side', async (t) => {
  const { gateway, url } = await opened(t);
  const stuck = await application(t, () => {});
  const fresh = await application(t, (_, response) => response.end('new'));
  gateway.route('production', whole(backend('old', stuck)));
  const pending = call(url);
  while (gateway.counts(digestOf('old')).inFlight === 0) await sleep(5);
  gateway.route('production', whole(backend('new', fresh)));
  assert.equal((await gateway.drain(digestOf('old'), 50)).inFlight, 1);
  assert.equal((await pending).statusCode, 502);
  assert.equal((await gateway.drain(digestOf('new'), 50)).inFlight, 0);
  assert.equal((await call(url)).body, 'new');
});

test('a hundred switches under 32 connections lose and misdirect no request', async (t) => {
  const { gateway, url } = await opened(t);
  const sides = await Promise.all(
    ['left', 'right'].map(async (name) => backend(name, await application(t, (_, response) => response.end(name)))),
  );
  gateway.route('production', whole(sides[0]));
  const pool = new Pool(url, { connections: 32 });
  t.after(() => pool.destroy());
  let live = 0;
  let swaps = 0;
  let answered = 0;
  let done = false;
  async function client(): Promise<void> {
    while (!done) {
      const before = swaps;
      const { statusCode, headers, body } = await pool.request({ path: '/', method: 'GET' });
      const name = await body.text();
      assert.equal(statusCode, 200);
      assert.equal(headers['cairn-release'], digestOf(`release ${name}`));
      if (swaps === before) assert.equal(name, sides[live] === sides[0] ? 'left' : 'right');
      answered++;
    }
  }
  const clients = Promise.all(Array.from({ length: 32 }, client));
  while (swaps < 100) {
    await sleep(5);
    live = 1 - live;
    gateway.route('production', whole(sides[live]));
    swaps++;
  }
  done = true;
  await clients;
  assert.ok(answered > 1_000, `${answered} requests`);
  const sum = sides.map(({ content }) => gateway.counts(content));
  assert.equal(sum.reduce((total, { errors }) => total + errors, 0), 0);
});

test('a port in use is named', async (t) => {
  const { gateway, port } = await opened(t);
  await assert.rejects(gateway.listen('staging', '127.0.0.1', port), { code: 'port-taken', message: new RegExp(`${port}.*staging`) });
});
