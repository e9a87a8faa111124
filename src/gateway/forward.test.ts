import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { test, type TestContext } from 'node:test';
import { application, backend, call, exchange, inFlight, opened, rawApplication, until, whole } from './fixture.ts';

/** What reaches an application that reads bytes: all of it, for a request that comes as bytes. */
async function reached(t: TestContext) {
  const at = await opened(t);
  const got: string[] = [];
  const origin = await rawApplication(t, (socket) => {
    socket.on('data', (bytes) => {
      got.push(bytes.toString('latin1'));
      socket.write('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok');
    });
  });
  at.gateway.route('production', whole(backend('one', origin)));
  return { ...at, got };
}

test('shapes by which requests are smuggled are refused, and nothing of them reaches the application', async (t) => {
  const { port, got } = await reached(t);
  const shapes: Record<string, string> = {
    'length and chunks': 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    'two lengths': 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcde',
    'a list of lengths': 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4, 4\r\n\r\nabcd',
    'a length with a sign': 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +4\r\n\r\nabcd',
    'another last coding': 'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n',
    'a coding that is not undone': 'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n',
    'a misspelt coding': 'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n',
    'two codings': 'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    'chunks in HTTP/1.0': 'POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    'a space before the colon': 'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n',
    'a folded line': 'POST / HTTP/1.1\r\nHost: a\r\nX: 1\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    'a bare line feed': 'GET / HTTP/1.1\nHost: a\n\n',
    'a bare carriage return': 'GET / HTTP/1.1\r\nHost: a\r\nX: 1\rTransfer-Encoding: chunked\r\n\r\n',
    'a NUL in a header': 'GET / HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n',
    'no host': 'GET / HTTP/1.1\r\n\r\n',
    'two hosts': 'GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n',
    'a host with a path': 'GET / HTTP/1.1\r\nHost: a/b\r\n\r\n',
    'a host with a user': 'GET / HTTP/1.1\r\nHost: a@b\r\n\r\n',
    'an absolute target with a user': 'GET http://a@b/ HTTP/1.1\r\nHost: b\r\n\r\n',
    'another scheme': 'GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n',
    'a target with a fragment': 'GET /shop#/admin HTTP/1.1\r\nHost: a\r\n\r\n',
    'a target that is no path': 'GET admin HTTP/1.1\r\nHost: a\r\n\r\n',
    'a tunnel': 'CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n',
    'a later version': 'GET / HTTP/2.0\r\nHost: a\r\nConnection: close\r\n\r\n',
    'an older version': 'GET / HTTP/0.9\r\nHost: a\r\nConnection: close\r\n\r\n',
  };
  for (const [name, bytes] of Object.entries(shapes)) {
    const answer = await exchange(port, bytes);
    assert.match(answer, /^HTTP\/1\.1 4\d\d /, name);
    assert.deepEqual(got.splice(0), [], name);
  }
});

test('a malformed chunk ends the request without an end for the application', async (t) => {
  const { port, got } = await reached(t);
  for (const chunks of ['zz\r\nabc\r\n0\r\n\r\n', '3\r\nabcdef\r\n0\r\n\r\n', '-1\r\na\r\n0\r\n\r\n', '3 \n\rabc']) {
    await exchange(port, `POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n${chunks}`);
    assert.doesNotMatch(got.splice(0).join(''), /0\r\n\r\n$/, JSON.stringify(chunks));
  }
});

test('a header that Connection names is dropped, and framing and host cannot be dropped so', async (t) => {
  const { port, got } = await reached(t);
  await exchange(port, 'POST / HTTP/1.1\r\nHost: a\r\nX-Secret: 1\r\nX-Kept: 1\r\nContent-Length: 3\r\nConnection: close, X-Secret, content-length, host, x-forwarded-for\r\n\r\nabc');
  const [head = '', body] = got.join('').split('\r\n\r\n');
  assert.match(head, /^POST \/ HTTP\/1\.1\r\nhost: a\r\n/);
  assert.match(head, /\r\ncontent-length: 3\r\n/);
  assert.match(head, /\r\nx-forwarded-for: 127\.0\.0\.1\r\n/);
  assert.match(head, /\r\nx-kept: 1\r\n/);
  assert.doesNotMatch(head, /x-secret|\r\nconnection/i);
  assert.equal(body, 'abc');
});

test('nobody but the gateway says who the client is, with hyphens or underscores', async (t) => {
  const { url, gateway } = await opened(t);
  gateway.route('production', whole(backend('one', await application(t, (request, response) => response.end(JSON.stringify(request.headers))))));
  const forged = {
    'x-forwarded-for': '6.6.6.6', 'x_forwarded_for': '6.6.6.6', 'x-forwarded-port': '6', 'x-forwarded-proto': 'https', 'x-real-ip': '6.6.6.6', 'X_Real_IP': '6.6.6.6',
    forwarded: 'for=6.6.6.6', cairn_release: '6', 'content_length': '6', my_own: 'kept',
  };
  const { body } = await call(url, forged);
  const seen = JSON.parse(body);
  assert.doesNotMatch(body, /6\.6\.6\.6/);
  assert.deepEqual({ ...seen, host: '', connection: '' }, { host: '', connection: '', my_own: 'kept', 'x-forwarded-for': '127.0.0.1', 'x-forwarded-proto': 'http', 'x-forwarded-host': seen.host });
});

test('a request hidden in another one body is body', async (t) => {
  const { port, got } = await reached(t);
  const hidden = 'GET /admin HTTP/1.1\r\nHost: a\r\n\r\n';
  await exchange(port, `GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: ${hidden.length}\r\n\r\n${hidden}`);
  const all = got.join('');
  assert.match(all, new RegExp(`content-length: ${hidden.length}\r\n`));
  assert.equal(all.match(/HTTP\/1\.1/g)?.length, 2);
  assert.ok(all.endsWith(hidden));
});

test('more headers than a parser keeps are all seen', async (t) => {
  const { port, got } = await reached(t);
  const many = 'a:\r\n'.repeat(2_500);
  assert.match(await exchange(port, `GET / HTTP/1.1\r\nHost: a\r\n${many}Host: b\r\nConnection: close\r\n\r\n`), /^HTTP\/1\.1 400 /);
  assert.deepEqual(got, []);
});

test('a head without an end is not read for ever', async (t) => {
  const { port } = await reached(t);
  assert.match(await exchange(port, `GET / HTTP/1.1\r\nHost: a\r\nX: ${'x'.repeat(17_000)}`), /^HTTP\/1\.1 431 /);
});

test('bytes above ASCII in a header arrive as they were sent, and in a path are refused', async (t) => {
  const { port, got } = await reached(t);
  assert.match(await exchange(port, Buffer.from('GET /caf\xe9 HTTP/1.1\r\nHost: a\r\n\r\n', 'latin1')), /^HTTP\/1\.1 400 /);
  await exchange(port, Buffer.from('GET /caf%E9?a=/../b HTTP/1.1\r\nHost: a\r\nX-Name: M\xfcller\r\nConnection: close\r\n\r\n', 'latin1'));
  assert.match(got.join(''), /^GET \/caf%E9\?a=\/\.\.\/b HTTP[^]*x-name: M\xfcller\r\n/);
});

test('an empty upload says its length, and a request without a body says none', async (t) => {
  const { port, got } = await reached(t);
  await exchange(port, 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
  assert.match(got[0] ?? '', /\r\ncontent-length: 0\r\n/);
  assert.doesNotMatch(got[1] ?? '', /content-length|transfer-encoding/);
});

test('connections are kept on both sides, and requests that come at once are answered in turn', async (t) => {
  const at = await opened(t);
  let connections = 0;
  const origin = await application(t, (request, response) => setTimeout(() => response.end(request.url), request.url === '/slow' ? 60 : 0), (server) => server.on('connection', () => connections++));
  at.gateway.route('production', whole(backend('one', origin)));
  const socket = connect(at.port, '127.0.0.1');
  t.after(() => socket.destroy());
  for (let turn = 0; turn < 5; turn++) {
    socket.write('GET /one HTTP/1.1\r\nHost: a\r\n\r\n');
    await until(socket, '/one');
  }
  assert.equal(connections, 1);
  socket.write('GET /slow HTTP/1.1\r\nHost: a\r\n\r\nGET /quick HTTP/1.1\r\nHost: a\r\n\r\n');
  const both = await until(socket, '/quick');
  assert.ok(both.indexOf('/slow') < both.indexOf('/quick'));
});

test('a client that leaves with requests in line leaves none in flight', async (t) => {
  const at = await opened(t);
  at.gateway.route('production', whole(backend('one', await application(t, () => {}))));
  const socket = connect(at.port, '127.0.0.1');
  socket.write('GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\nGET /3 HTTP/1.1\r\nHost: a\r\n\r\n');
  await inFlight(at, 'one', 3);
  socket.destroy();
  await inFlight(at, 'one', 0);
});

test('a client of HTTP/1.0 gets an answer that it can read', async (t) => {
  const { gateway, port } = await opened(t);
  const origin = await application(t, (_, response) => {
    response.write('with ');
    setTimeout(() => response.end('chunks'), 10);
  });
  gateway.route('production', whole(backend('one', origin)));
  const answer = await exchange(port, 'GET / HTTP/1.0\r\n\r\n');
  assert.doesNotMatch(answer, /transfer-encoding/i);
  assert.ok(answer.endsWith('\r\n\r\nwith chunks'));
});
