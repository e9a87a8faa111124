import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fixedClock } from '#core';
import type { LedgerReader, OpenLedger } from '#ledger';
import type { Delivery, Registry } from '#release';
import { api } from './api.ts';
import type { LogTrust } from './log-trust.ts';
import type { SecretStore } from './secrets.ts';

const never = new Proxy({}, { get: (_, name) => () => Promise.reject(new Error(`${String(name)} was reached`)) });
const options: Parameters<typeof api>[0] = { ledger: never as OpenLedger, delivery: never as Delivery, registry: never as Registry, secrets: never as SecretStore, collector: never as never, reader: never as LedgerReader, clock: fixedClock('2026-01-01T00:00:00Z'), runner: never as never, metrics: async () => 'up 1\n', collectGarbage: never as never, token: 'right', logTrust: never as LogTrust, info: { version: '0', origin: 'log', environments: [] } };
const app = api(options);
const call = (path: string, headers: Record<string, string>, method = 'GET', body?: string) => app.request(path, { method, headers: { host: '127.0.0.1:7070', ...headers }, ...(body !== undefined && { body }) });
const bearer = { authorization: 'Bearer right' };

test('every route asks for the token, before anything is read', async () => {
  const routes = [...new Set(app.routes.filter((route) => route.path !== '/*' && route.path !== '*' && route.path !== '/metrics').map((route) => `${route.method} ${route.path.replaceAll(/:\w+/g, 'x')}`))];
  assert.ok(routes.length >= 12);
  for (const route of routes) {
    const [method = '', path = ''] = route.split(' ');
    for (const headers of [{}, { authorization: 'Bearer wrong' }, { authorization: 'right' }]) assert.equal((await call(path, headers as Record<string, string>, method)).status, 401, route);
  }
});

test('metrics are for a scraper without a token, on this machine', async () => {
  assert.equal((await call('/metrics', {})).status, 200);
  assert.equal((await call('/metrics', { host: 'evil.example' })).status, 401);
});

test('a foreign host name or origin is refused, token or not', async () => {
  for (const headers of [{ host: 'evil.example' }, { host: '127.0.0.1.evil.example:7070' }, { origin: 'http://evil.example' }, { origin: 'null' }, { origin: 'http://127.0.0.1:9999' }]) {
    const { status } = await call('/api/v1/timelines', { ...bearer, ...headers } as Record<string, string>);
    assert.ok(status === 401 || status === 400, JSON.stringify(headers));
  }
});

test('a malformed body is refused with a reason, and a crash reads as one', async () => {
  for (const body of ['{', '[]', '{"envelope":{},"key":"x"}', '{"operation":"12345678","application":"../x","environment":"production","by":"ada","reason":null}']) {
    for (const path of ['/api/v1/promote', '/api/v1/rollback']) {
      const answer = await call(path, bearer, 'POST', body);
      assert.equal(answer.status, 400, path + body);
      assert.equal(((await answer.json()) as { error: { code: string } }).error.code, 'malformed-document');
    }
  }
  assert.equal((await call('/api/v1/timelines', bearer)).status, 500);
});

test('a 130 MB statement is refused at every route that takes one, and not read to its end', async () => {
  const routes = ['/api/v1/statements/shop', `/api/v1/foreign/shop/sha256:${'0'.repeat(64)}`, '/api/v1/promote'];
  const known = api({ ...options, registry: { document: async () => ({ components: [] }) } as never });
  for (const path of routes) {
    for (const announced of [true, false]) {
      let read = 0;
      const stream = new ReadableStream({ pull: (control) => (read >= 130 ? control.close() : (read++, control.enqueue(new Uint8Array(1 << 20).fill(32)))) });
      const headers = { host: '127.0.0.1:7070', ...bearer, ...(announced && { 'content-length': String(130 << 20) }) };
      const answer = await known.request(path, { method: 'POST', headers, body: stream, duplex: 'half' } as RequestInit);
      const { error } = (await answer.json()) as { error: { code: string; context: { reason?: string } } };
      assert.deepEqual([answer.status, error.code, error.context.reason], [400, 'malformed-document', 'too-large'], path);
      assert.ok(read < 64, `${read} MB were read`);
    }
  }
});
