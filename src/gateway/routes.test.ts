import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { digestOf } from '#core';
import type { Backend, Route } from '#gateway';
import { application, backend, call, opened, split, whole } from './fixture.ts';
import { pointOf } from './sticky.ts';

function route(host: string | null, path: string, to: Backend): Route {
  return { host, path, split: [{ backend: to, weight: 100 }], assets: null };
}

test('several applications share an environment: the longest path wins, then the host', async (t) => {
  const { gateway, url } = await opened(t);
  const origin = await application(t, (request, response) => response.end(request.url));
  const to = (name: string) => ({ ...backend(name, origin), application: name });
  gateway.route('production', [
    route(null, '/', to('all')),
    route('shop.example', '/', to('shop')),
    route(null, '/api', to('api')),
    route('shop.example', '/api', to('shop-api')),
    route(null, '/api/v2/', to('api-2')),
    route('Blog.Example', '/posts', to('blog')),
  ]);
  const cases: [host: string, path: string, name: string][] = [
    ['other.example', '/', 'all'],
    ['shop.example', '/', 'shop'],
    ['SHOP.example:8080', '/cart', 'shop'],
    ['shop.example.', '/cart', 'shop'],
    ['other.example', '/api', 'api'],
    ['other.example', '/api?x=1', 'api'],
    ['other.example', '/api/v1', 'api'],
    ['other.example', '/apiary', 'all'],
    ['shop.example', '/api/v1', 'shop-api'],
    ['shop.example', '/api/v2/things', 'api-2'],
    ['shop.example', '/api/v22', 'shop-api'],
    ['blog.example', '/posts/1', 'blog'],
    ['notblog.example', '/posts/1', 'all'],
  ];
  for (const [host, path, name] of cases) {
    const answer = await call(url, { host }, 'GET', path);
    assert.equal(answer.headers['cairn-release'], digestOf(`release ${name}`), `${host}${path}`);
    assert.equal(answer.body, path);
  }
});

test('the absolute form is routed by its own host', async (t) => {
  const { gateway, url } = await opened(t);
  const origin = await application(t, (_, response) => response.end());
  gateway.route('production', [route('a.example', '/', backend('a', origin)), route('b.example', '/', backend('b', origin))]);
  const answer = await call(url, { host: 'a.example' }, 'GET', 'http://b.example/');
  assert.equal(answer.headers['cairn-release'], digestOf('release b'));
});

test('what no route leads to is answered 404, in the name of no release', async (t) => {
  const { gateway, url } = await opened(t);
  gateway.route('production', [route('a.example', '/', backend('a', await application(t, (_, response) => response.end())))]);
  const answer = await call(url, { host: 'b.example' });
  assert.equal(answer.statusCode, 404);
  assert.equal(JSON.parse(answer.body).error.code, 'not-found');
  assert.equal(answer.headers['cairn-release'], undefined);
});

test('a table that contradicts itself is refused, and the former one stays', async (t) => {
  const { gateway, url } = await opened(t);
  const one = backend('one', await application(t, (_, response) => response.end('one')));
  gateway.route('production', whole(one));
  const wrong: Route[][] = [
    [{ host: null, path: '/', split: [], assets: null }],
    [{ host: null, path: '/', split: [{ backend: one, weight: 99 }], assets: null }],
    [{ host: null, path: '/', split: [{ backend: one, weight: 150 }, { backend: backend('two'), weight: -50 }], assets: null }],
    [route('a.example', '/x', one), route('A.example', '/x/', one)],
  ];
  // The instances named along with a mistake are not taken over either.
  for (const routes of wrong) assert.throws(() => gateway.route('production', [route('b.example', '/', { ...one, origins: [] }), ...routes]), { code: 'invalid-configuration' });
  assert.equal((await call(url)).body, 'one');
});

test('environments do not see each other', async (t) => {
  const { gateway, url } = await opened(t);
  gateway.route('staging', whole(backend('one', await application(t, (_, response) => response.end()))));
  assert.equal((await call(url)).statusCode, 503);
});

test('a client of a split route stays where it first came, also over applications with one cookie', async (t) => {
  const { gateway, url } = await opened(t);
  const former = backend('former', await application(t, (_, response) => response.end('former')));
  const live = backend('live', await application(t, (_, response) => response.end('live')));
  gateway.route('production', split(former, live, 50));
  const seen = new Set<string>();
  for (let client = 0; client < 24; client++) {
    const first = await call(url);
    const [cookie = ''] = first.headers['set-cookie'] ?? [];
    assert.match(cookie, /^cairn-client=[A-Za-z0-9_-]{22}; Path=\/; HttpOnly; SameSite=Lax$/);
    seen.add(first.body);
    for (let again = 0; again < 3; again++) {
      const next = await call(url, { cookie: `theme=dark; ${cookie.split(';')[0]}; other=1` });
      assert.equal(next.body, first.body);
      assert.equal(next.headers['set-cookie'], undefined);
    }
  }
  assert.deepEqual(seen, new Set(['former', 'live']));
  gateway.route('production', whole(live));
  assert.equal((await call(url)).headers['set-cookie'], undefined);
});

test('a cookie that is none of ours is replaced, and the application keeps its own', async (t) => {
  const { gateway, url } = await opened(t);
  const origin = await application(t, (_, response) => response.setHeader('set-cookie', 'session=1').end());
  gateway.route('production', split(backend('former', origin), backend('live', origin), 50));
  const answer = await call(url, { cookie: 'cairn-client=short' });
  assert.equal(answer.headers['set-cookie']?.[0], 'session=1');
  assert.match(answer.headers['set-cookie']?.[1] ?? '', /^cairn-client=/);
});

test('raising a weight moves clients towards the newcomer only, and in proportion', async (t) => {
  const { gateway, url } = await opened(t);
  const former = backend('former', await application(t, (_, response) => response.end('former')));
  const live = backend('live', await application(t, (_, response) => response.end('live')));
  const clients = Array.from({ length: 60 }, () => randomBytes(16).toString('base64url'));
  let before = new Set<string>();
  for (const weight of [1, 20, 50, 80, 99, 100]) {
    gateway.route('production', weight === 100 ? whole(live) : split(former, live, weight));
    const now = new Set<string>();
    for (const client of clients) if ((await call(url, { cookie: `cairn-client=${client}` })).body === 'live') now.add(client);
    for (const client of before) assert.ok(now.has(client), `${client} was moved back at ${weight}`);
    before = now;
  }
  assert.equal(before.size, clients.length);
});

test('the point of a client is even over clients, and of its own for each application', () => {
  const tenths = Array.from({ length: 10 }, () => 0);
  let same = 0;
  for (let client = 0; client < 20_000; client++) {
    const id = randomBytes(16).toString('base64url');
    const point = pointOf(id, 'shop');
    assert.ok(point >= 0 && point < 100);
    tenths[Math.floor(point / 10)] = (tenths[Math.floor(point / 10)] ?? 0) + 1;
    if (Math.floor(point / 10) === Math.floor(pointOf(id, 'blog') / 10)) same++;
  }
  for (const count of [...tenths, same]) assert.ok(count > 1_700 && count < 2_300, `${tenths.join(' ')}, ${same}`);
});

test('the point of a client is the same in every version, since it must not move in mid-split', () => {
  assert.equal(pointOf('AAAAAAAAAAAAAAAAAAAAAA', 'shop').toFixed(6), '80.777471');
  fc.assert(fc.property(fc.string(), fc.string(), (client, name) => pointOf(client, name) === pointOf(client, name)));
});
