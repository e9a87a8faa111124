import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { connect as connectSecurely } from 'node:tls';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { WebSocket } from 'undici';
import { digestOf } from '#core';
import { application, backend, certificates, exchange, folder, inFlight, opened, rawApplication, split, until, whole, type Opened } from './fixture.ts';

const asking = 'GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n';

/** Switches, says `hello` with the head, and then repeats what it is told. */
async function echo(t: TestContext, hello = ''): Promise<string> {
  return application(t, (_, response) => response.writeHead(426).end('upgrade'), (server) =>
    server.on('upgrade', (request, socket, head) => {
      const accept = createHash('sha1').update(`${request.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
      socket.on('error', () => {});
      socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\nX-Seen: ${JSON.stringify(request.headers)}\r\n\r\n${hello}`, 'latin1');
      if (head.length > 0) socket.write(head);
      socket.pipe(socket);
    }),
  );
}

async function upgraded({ port }: Opened, bytes = asking): Promise<Socket & { head: string }> {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => {});
  socket.write(bytes);
  return Object.assign(socket, { head: await until(socket, '\r\n\r\n') });
}

test("a real client's WebSocket opens, carries messages both ways and closes", async (t) => {
  const at = await opened(t);
  // A frame of the client is masked, so that an echo of its bytes is no frame a client takes: this one is the application's own.
  const origin = await echo(t, Buffer.from([0x81, 5, ...Buffer.from('hello')]).toString('latin1'));
  at.gateway.route('production', whole(backend('one', origin)));
  const socket = new WebSocket(`ws://127.0.0.1:${at.port}/chat`);
  const [message] = (await once(socket, 'message')) as [MessageEvent];
  assert.equal(message.data, 'hello');
  assert.equal(at.gateway.counts(digestOf('one')).inFlight, 1);
  socket.close();
  await inFlight(at, 'one', 0);
  assert.equal(at.gateway.counts(digestOf('one')).errors, 0);
});

test('bytes sent along with the request and along with the answer are not lost', async (t) => {
  const at = await opened(t);
  at.gateway.route('production', whole(backend('one', await echo(t, 'from the start '))));
  const socket = connect(at.port, '127.0.0.1');
  t.after(() => socket.destroy());
  socket.write(`${asking}early`);
  const all = await until(socket, 'early');
  assert.match(all, /^HTTP\/1\.1 101 /);
  assert.ok(all.endsWith('\r\n\r\nfrom the start early'));
  socket.write('later');
  assert.equal(await until(socket, 'later'), 'later');
});

test('the application sees the client and the host, the client the release and the cookie of a split', async (t) => {
  const at = await opened(t);
  const origin = await echo(t);
  at.gateway.route('production', split(backend('former', origin), backend('live', origin), 50));
  const { head } = await upgraded(at, asking.replace('Host: a', 'Host: a\r\nX-Forwarded-For: 6.6.6.6\r\nCairn-Release: mine'));
  const seen = JSON.parse(/x-seen: (.*)\r\n/i.exec(head)?.[1] ?? '');
  assert.equal(seen['x-forwarded-for'], '127.0.0.1');
  assert.equal(seen.host, 'a');
  assert.equal(seen['cairn-release'], undefined);
  assert.match(head, /\r\ncairn-release: sha256:[0-9a-f]{64}\r\n/);
  assert.match(head, /\r\nset-cookie: cairn-client=/);
});

test('an application that does not switch is heard, whatever it says', async (t) => {
  const at = await opened(t);
  at.gateway.route('production', whole(backend('one', await application(t, (_, response) => {
    response.writeHead(403, { 'content-type': 'text/plain' });
    response.write('not ');
    setTimeout(() => response.end('you'), 10);
  }))));
  const answer = await exchange(at.port, asking);
  assert.match(answer, /^HTTP\/1\.1 403 Forbidden\r\n/);
  assert.match(answer, /not [^]*you/);
  await inFlight(at, 'one', 0);
});

test('a WebSocket to an application that is gone is answered 502, and without a route 503', async (t) => {
  const at = await opened(t);
  assert.match(await exchange(at.port, asking.replace('Upgrade: websocket', 'Upgrade: websocket\r\nX: close').replace('Connection: Upgrade', 'Connection: Upgrade, close')), /^HTTP\/1\.1 503 /);
  at.gateway.route('production', whole(backend('gone', 'http://127.0.0.1:1')));
  assert.match(await exchange(at.port, asking), /^HTTP\/1\.1 502 /);
  await inFlight(at, 'gone', 0);
  assert.equal(at.gateway.counts(digestOf('gone')).errors, 1);
});

test('a folder takes no WebSocket', async (t) => {
  const at = await opened(t);
  at.gateway.route('production', whole(folder('site', '/nowhere')));
  assert.match(await exchange(at.port, asking.replace('Upgrade\r\n', 'Upgrade, close\r\n')), /^HTTP\/1\.1 404 /);
});

test('a switch that nobody asked for is no answer', async (t) => {
  const at = await opened(t);
  const switching = await rawApplication(t, (socket) => socket.on('data', () => socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nGET /')));
  const other = await rawApplication(t, (socket) => socket.on('data', () => socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n')));
  at.gateway.route('production', whole(backend('one', switching)));
  assert.match(await exchange(at.port, 'GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n'), /^HTTP\/1\.1 502 /);
  at.gateway.route('production', whole(backend('two', other)));
  assert.match(await exchange(at.port, asking), /^HTTP\/1\.1 502 /);
});

test('only a WebSocket may switch: others are served as if they had not asked', async (t) => {
  const at = await opened(t);
  let upgrades = 0;
  const origin = await application(t, (request, response) => {
    request.resume().on('end', () => response.end(`plain ${request.headers.upgrade} ${request.headers['http2-settings']}`));
  }, (server) => server.on('upgrade', (_, socket) => (upgrades++, socket.destroy())));
  at.gateway.route('production', whole(backend('one', origin)));
  const asked = [
    'GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n',
    'POST / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\nContent-Length: 3\r\n\r\nabc',
    'GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\nContent-Length: 3\r\n\r\nabc',
    'POST / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\n\r\n',
    'GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, close\r\nUpgrade: websocket, h2c\r\n\r\n',
    'GET / HTTP/1.0\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n',
  ];
  for (const bytes of asked) assert.match(await exchange(at.port, bytes), /plain undefined undefined/, bytes);
  assert.equal(upgrades, 0);
});

test('a WebSocket stays on its side over a switch, counts as in flight, and is cut at the deadline', async (t) => {
  const at = await opened(t);
  at.gateway.route('production', whole(backend('old', await echo(t))));
  const socket = await upgraded(at);
  at.gateway.route('production', whole(backend('new', await echo(t))));
  socket.write('still here');
  await until(socket, 'still here');
  assert.equal(at.gateway.counts(digestOf('old')).inFlight, 1);
  const closed = once(socket, 'close');
  assert.equal((await at.gateway.drain(digestOf('old'), 50)).inFlight, 1);
  await closed;
  assert.deepEqual({ ...at.gateway.counts(digestOf('old')) }, { requests: 1, responses: 1, errors: 0, inFlight: 0 });
});

test('draining ends as soon as the last WebSocket closes', async (t) => {
  const at = await opened(t);
  at.gateway.route('production', whole(backend('old', await echo(t))));
  const socket = await upgraded(at);
  at.gateway.route('production', []);
  const drained = at.gateway.drain(digestOf('old'), 10_000);
  socket.end();
  const { inFlight: left, milliseconds } = await drained;
  assert.equal(left, 0);
  assert.ok(milliseconds < 5_000);
});

test('the death of one side ends the other', async (t) => {
  const at = await opened(t);
  const sockets: Socket[] = [];
  const origin = await rawApplication(t, (socket) => {
    sockets.push(socket);
    socket.once('data', () => socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n'));
  });
  at.gateway.route('production', whole(backend('one', origin)));
  const first = await upgraded(at);
  const firstClosed = once(first, 'close');
  sockets[0]?.resetAndDestroy();
  await firstClosed;
  const second = await upgraded(at);
  const gone = once(sockets[1] as Socket, 'close');
  second.resetAndDestroy();
  await gone;
  await inFlight(at, 'one', 0);
});

test('a client that leaves before the answer leaves nothing behind', async (t) => {
  const at = await opened(t);
  let closed = false;
  const origin = await rawApplication(t, (socket) => socket.on('close', () => (closed = true)).resume());
  at.gateway.route('production', whole(backend('one', origin)));
  const socket = connect(at.port, '127.0.0.1');
  socket.on('error', () => {});
  socket.write(asking);
  await inFlight(at, 'one', 1);
  await sleep(20);
  socket.resetAndDestroy();
  await inFlight(at, 'one', 0);
  while (!closed) await sleep(5);
});

test('a reader that is slow slows the sender through a WebSocket', async (t) => {
  const at = await opened(t);
  let written = 0;
  const size = 64 << 20;
  const origin = await rawApplication(t, (socket) =>
    socket.once('data', () => {
      socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n');
      const piece = Buffer.alloc(1 << 16);
      const more = (): void => {
        while (written < size) if ((written += piece.length, !socket.write(piece))) return void socket.once('drain', more);
        socket.end();
      };
      more();
    }),
  );
  at.gateway.route('production', whole(backend('one', origin)));
  const socket = connect(at.port, '127.0.0.1');
  socket.write(asking);
  socket.pause();
  await sleep(200);
  assert.ok(written < size / 2, `${written} bytes`);
  let got = 0;
  for await (const piece of socket) got += (piece as Buffer).length;
  assert.ok(got > size);
});

test('a WebSocket under TLS', async (t) => {
  const at = await opened(t, {}, { tls: certificates[0] });
  at.gateway.route('production', whole(backend('one', await echo(t))));
  const socket = connectSecurely({ port: at.port, host: '127.0.0.1', rejectUnauthorized: false, ALPNProtocols: ['http/1.1'] });
  t.after(() => socket.destroy());
  socket.write(asking);
  assert.match(await until(socket, '\r\n\r\n'), /x-forwarded-proto":"https"/);
  socket.write('secret');
  assert.equal(await until(socket, 'secret'), 'secret');
});
