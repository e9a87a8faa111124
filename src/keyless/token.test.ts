import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test, type TestContext } from 'node:test';
import { readToken, tokenOf } from '#keyless';
import { ask } from './ask.ts';

const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
const token = (said: unknown) => `${part({ alg: 'none' })}.${part(said)}.c2ln`;

async function serve(t: TestContext, listener: RequestListener): Promise<string> {
  const server = createServer(listener).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

test('a token is read for what its proof of possession is made over', () => {
  assert.equal(readToken(`${token({ sub: 'repo:acme/shop' })}\n`).subject, 'repo:acme/shop');
  assert.equal(readToken(token({ sub: '1', email: 'ada@example.com', email_verified: true })).subject, 'ada@example.com');
});

test('what is no token, names nobody, or has an address that nobody verified, is refused', () => {
  const twice = `${part({ alg: 'none' })}.${Buffer.from('{"sub":"a","sub":"b"}').toString('base64url')}.c2ln`;
  for (const bad of ['', 'a.b', 'a b.c.d', token([]), token({}), token({ email: 'ada@example.com' }), token({ email: 'ada@example.com', email_verified: false }), twice, `${'a'.repeat(33_000)}.b.c`]) {
    assert.throws(() => readToken(bad), { code: 'unauthorized' }, bad.slice(0, 60));
  }
});

test("the token is the environment's own, or GitHub's for the right audience, or there is none", async (t) => {
  assert.equal((await tokenOf({ SIGSTORE_ID_TOKEN: token({ sub: 'me' }) })).subject, 'me');
  await assert.rejects(tokenOf({}), { code: 'unauthorized' });
  const asked: string[] = [];
  const url = await serve(t, (request, response) => {
    asked.push(`${request.method} ${request.url} ${request.headers.authorization}`);
    response.end(JSON.stringify(asked.length === 1 ? { count: 1, value: token({ sub: 'job' }) } : { count: 0 }));
  });
  const github = { ACTIONS_ID_TOKEN_REQUEST_URL: `${url}/token?v=2`, ACTIONS_ID_TOKEN_REQUEST_TOKEN: 'secret' };
  assert.equal((await tokenOf(github)).subject, 'job');
  assert.deepEqual(asked, ['GET /token?v=2&audience=sigstore Bearer secret']);
  await assert.rejects(tokenOf(github), { code: 'malformed-document' });
});

test('a service of signing is asked over an encrypted connection, or on this machine', async () => {
  for (const url of ['http://fulcio.example', 'ftp://127.0.0.1', 'https://user@fulcio.example', 'http://127.0.0.1.evil.example', 'fulcio']) await assert.rejects(ask({ url, body: '' }), { code: 'invalid-configuration' }, url);
});

test('what a service answers is told apart: refused, not let in, busy, away, elsewhere, too much', async (t) => {
  const url = await serve(t, (request, response) => {
    const status = Number(request.url?.slice(1));
    if (status === 200) response.end(Buffer.alloc(2 << 20));
    else response.writeHead(status, { location: '/201' }).end('because\u0007');
  });
  const expected = { 400: 'refused', 401: 'unauthorized', 403: 'unauthorized', 429: 'unreachable', 500: 'unreachable', 302: 'unreachable', 200: 'malformed-document' };
  for (const [status, code] of Object.entries(expected)) await assert.rejects(ask({ url: `${url}/${status}`, body: 'x' }), { code }, status);
  assert.equal((await ask({ url: `${url}/201`, body: 'x' })).toString(), 'because\u0007');
  await assert.rejects(ask({ url: 'http://127.0.0.1:1', body: 'x' }), { code: 'unreachable', retryable: true });
});
