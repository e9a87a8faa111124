import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Agent, request as httpsRequest } from 'node:https';
import type { IncomingMessage } from 'node:http';
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { connect as connectSecurely, type TLSSocket } from 'node:tls';
import { digestOf } from '#core';
import { application, backend, certificates, exchange, opened, split, until, whole } from './fixture.ts';

const [first, second] = certificates;

async function secured(port: number): Promise<TLSSocket> {
  const socket = connectSecurely({ port, host: '127.0.0.1', rejectUnauthorized: false, ALPNProtocols: ['h2', 'http/1.1'] });
  socket.on('error', () => {});
  await once(socket, 'secureConnect');
  return socket;
}

test('TLS ends at the gateway: HTTP/1.1, forwarded as https, with secure cookies', async (t) => {
  const { gateway, url, port } = await opened(t, {}, { tls: first });
  const origin = await application(t, (request, response) => response.end(JSON.stringify(request.headers)));
  gateway.route('production', split(backend('former', origin), backend('live', origin), 50));
  const request = httpsRequest(url, { agent: new Agent({ rejectUnauthorized: false }), headers: { 'x-forwarded-proto': 'http' } });
  request.end();
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  assert.equal(JSON.parse(await text(response))['x-forwarded-proto'], 'https');
  assert.match(response.headers['set-cookie']?.[0] ?? '', /; Secure$/);
  const socket = await secured(port);
  t.after(() => socket.destroy());
  assert.equal(socket.alpnProtocol, 'http/1.1');
  socket.write('GET https://shop.example/x HTTP/1.1\r\nHost: a\r\n\r\n');
  assert.match(await until(socket, '}'), /"host":"shop\.example"/);
  request.destroy();
});

test('new certificates are for connections to come, and those that are open stay', async (t) => {
  const { gateway, port } = await opened(t, {}, { tls: first });
  gateway.route('production', whole(backend('one', await application(t, (_, response) => response.end('ok')))));
  const before = await secured(port);
  assert.equal(before.getPeerCertificate().subject?.['CN'], 'shop1.example');
  gateway.setTls('production', second);
  const after = await secured(port);
  t.after(() => [before, after].map((socket) => socket.destroy()));
  assert.equal(after.getPeerCertificate().subject?.['CN'], 'shop2.example');
  for (const socket of [before, after]) {
    socket.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
    assert.match(await until(socket, '\r\n\r\nok'), /^HTTP\/1\.1 200 /);
  }
});

test('certificates that cannot be used are refused before anything changes', async (t) => {
  const { gateway, port } = await opened(t, {}, { tls: first });
  const unusable = [{ cert: first.cert, key: second.key }, { cert: 'no certificate', key: first.key }, { cert: '', key: first.key }, { cert: first.cert, key: '' }];
  for (const tls of unusable) {
    assert.throws(() => gateway.setTls('production', tls), { code: 'invalid-configuration' });
    await assert.rejects(gateway.listen('staging', '127.0.0.1', 0, { tls }), { code: 'invalid-configuration' });
  }
  const socket = await secured(port);
  assert.equal(socket.getPeerCertificate().subject?.['CN'], 'shop1.example');
  socket.destroy();
});

test('certificates for an environment without TLS, or without a listener, are refused', async (t) => {
  const { gateway } = await opened(t);
  for (const environment of ['production', 'staging']) assert.throws(() => gateway.setTls(environment, first), { code: 'invalid-configuration' });
});

test('who speaks plainly to a TLS port, or breaks off, harms nobody', async (t) => {
  const { gateway, port } = await opened(t, {}, { tls: first });
  gateway.route('production', whole(backend('one', await application(t, (_, response) => response.end('ok')))));
  assert.equal(await exchange(port, 'GET / HTTP/1.1\r\nHost: a\r\n\r\n'), '');
  const broken = connect(port, '127.0.0.1');
  broken.end(Buffer.from([22, 3, 1, 2]));
  const socket = await secured(port);
  socket.write('GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
  assert.match(await text(socket), /ok$/);
  assert.equal(gateway.counts(digestOf('one')).requests, 1);
});
