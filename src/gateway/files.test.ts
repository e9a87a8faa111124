import assert from 'node:assert/strict';
import { chmod, mkdir, mkdtemp, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { digestOf } from '#core';
import { isSurelyHashed, mayBeHashed } from './assets.ts';
import { application, backend, call, exchange, folder, opened, rawApplication, split, whole } from './fixture.ts';

const hashed = '/assets/app-BcD3f9aX.js';

/** A folder as a release leaves it: read-only, with times that mean nothing. */
async function site(t: TestContext, files: Record<string, string>): Promise<string> {
  const top = await mkdtemp(join(tmpdir(), 'cairn-'));
  t.after(() => rm(top, { recursive: true, force: true }));
  const root = join(top, 'app');
  for (const [name, text] of Object.entries(files)) {
    const path = join(root, name);
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, text);
    await chmod(path, 0o444);
    await utimes(path, 0, 0);
  }
  return root;
}

test('a static site: files, indexes of folders, types, and no time', async (t) => {
  const { gateway, url } = await opened(t);
  const root = await site(t, { 'index.html': '<h1>home', 'docs/index.html': '<h1>docs', 'style.css': 'b{}', 'empty.txt': '' });
  const live = folder('site', root);
  gateway.route('production', whole(live));
  const home = await call(url);
  assert.equal(home.body, '<h1>home');
  assert.equal(home.headers['content-type'], 'text/html; charset=utf-8');
  assert.equal(home.headers['cairn-release'], live.release);
  assert.equal(home.headers['cache-control'], 'no-cache');
  assert.equal(home.headers['last-modified'], undefined);
  assert.equal((await call(url, {}, 'GET', '/docs/?page=1')).body, '<h1>docs');
  assert.equal((await call(url, {}, 'GET', '/style.css')).headers['content-type'], 'text/css; charset=utf-8');
  assert.equal((await call(url, {}, 'GET', '/empty.txt')).headers['content-length'], '0');
  const moved = await call(url, {}, 'GET', '/docs?page=1');
  assert.equal(moved.statusCode, 301);
  assert.equal(moved.headers['location'], '/docs/?page=1');
  assert.equal(moved.headers['cairn-release'], live.release);
  const head = await call(url, {}, 'HEAD', '/style.css');
  assert.equal(head.headers['content-length'], '3');
  assert.equal(head.body, '');
});

test('a folder whose address looks like a host does not redirect there', async (t) => {
  const { gateway, url } = await opened(t);
  gateway.route('production', whole(folder('site', await site(t, { 'evil.example/index.html': 'x' }))));
  assert.equal((await call(url, {}, 'GET', '//evil.example')).headers['location'], '/evil.example/');
});

test('a file is validated by its content: 304 for the same, never for another release of the same size and time', async (t) => {
  const { gateway, url } = await opened(t);
  const root = await site(t, { 'app.js': 'old' });
  gateway.route('production', whole(folder('old', root)));
  const first = await call(url, {}, 'GET', '/app.js');
  const etag = String(first.headers['etag']);
  assert.match(etag, /^"[0-9a-f]{32}-3"$/);
  const same = await call(url, { 'if-none-match': etag }, 'GET', '/app.js');
  assert.equal(same.statusCode, 304);
  assert.equal(same.headers['cairn-release'], digestOf('release old'));
  gateway.route('production', whole(folder('new', await site(t, { 'app.js': 'new' }))));
  const changed = await call(url, { 'if-none-match': etag }, 'GET', '/app.js');
  assert.equal(changed.statusCode, 200);
  assert.equal(changed.body, 'new');
  assert.equal((await call(url, { 'if-match': etag }, 'GET', '/app.js')).statusCode, 412);
});

test('parts of a file, and only of the one that was meant', async (t) => {
  const { gateway, url } = await opened(t);
  gateway.route('production', whole(folder('site', await site(t, { 'film.mp4': '0123456789' }))));
  const part = await call(url, { range: 'bytes=2-4' }, 'GET', '/film.mp4');
  assert.equal(part.statusCode, 206);
  assert.equal(part.body, '234');
  assert.equal(part.headers['content-range'], 'bytes 2-4/10');
  assert.equal((await call(url, { range: 'bytes=-3', 'if-range': String(part.headers['etag']) }, 'GET', '/film.mp4')).body, '789');
  assert.equal((await call(url, { range: 'bytes=2-4', 'if-range': '"another"' }, 'GET', '/film.mp4')).body, '0123456789');
  const beyond = await call(url, { range: 'bytes=50-60' }, 'GET', '/film.mp4');
  assert.equal(beyond.statusCode, 416);
  assert.equal(beyond.headers['content-range'], 'bytes */10');
  assert.equal(beyond.headers['etag'], undefined);
  const answers = [...gateway.metrics().matchAll(/^cairn_gateway_answers_total.*"} (\d+)$/gm)].map(([, count]) => Number(count));
  assert.deepEqual(answers, [3, 1]);
});

test('nothing outside the folder, above the route, or with a dot is served', async (t) => {
  const { gateway, port, url } = await opened(t);
  const root = await site(t, { 'public/index.html': 'home', 'public/.env': 'secret', 'public/.git/config': 'secret', 'server.js': 'secret', 'public/a b.txt': 'spaced' });
  await writeFile(join(root, '../outside.txt'), 'secret');
  gateway.route('production', [{ host: null, path: '/public', split: [{ backend: folder('site', root), weight: 100 }], assets: null }]);
  assert.equal((await call(url, {}, 'GET', '/public/')).body, 'home');
  assert.equal((await call(url, {}, 'GET', '/public/a%20b.txt')).body, 'spaced');
  const paths = [
    '/public/.env', '/public/%2eenv', '/public/.git/config', '/public/../server.js', '/public/%2e%2e/server.js', '/public/..%2fserver.js', '/public/.%2E/server.js',
    '/public/..%5cserver.js', '/public/../../outside.txt', '/public/%2e%2e%2f%2e%2e%2foutside.txt', '/public/..', '/public//../server.js', '/public/x/../../server.js',
    '/public/%00', '/public/index.html%00.txt', '/public/%', '/public/%ff', '/public/index.html/', '/public/index.html/x', `/public/${'x'.repeat(5_000)}`,
  ];
  for (const path of paths) {
    const answer = await exchange(port, `GET ${path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`);
    assert.match(answer, /^HTTP\/1\.1 4\d\d /, path);
    assert.doesNotMatch(answer, /secret|home/, path);
  }
});

test('a link that leads to nothing is not found, and a folder without an index has no listing', async (t) => {
  const { gateway, url } = await opened(t);
  const root = await site(t, { 'plain/a.txt': 'a' });
  await symlink('nowhere', join(root, 'link.txt'));
  gateway.route('production', whole(folder('site', root)));
  assert.equal((await call(url, {}, 'GET', '/link.txt')).statusCode, 404);
  assert.equal((await call(url, {}, 'GET', '/plain/')).statusCode, 404);
});

test('files are only read', async (t) => {
  const { gateway, url } = await opened(t);
  gateway.route('production', whole(folder('site', await site(t, { 'index.html': 'home' }))));
  for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS']) {
    const answer = await call(url, {}, method);
    assert.equal(answer.statusCode, 405, method);
    assert.equal(answer.headers['allow'], 'GET, HEAD');
    assert.equal(answer.headers['cairn-release'], digestOf('release site'));
  }
  const { requests, errors, inFlight } = gateway.counts(digestOf('site'));
  assert.deepEqual({ requests, errors, inFlight }, { requests: 4, errors: 0, inFlight: 0 });
});

test('a file that is named by its hash is kept for ever, another never', async (t) => {
  const { gateway, url } = await opened(t);
  gateway.route('production', whole(folder('site', await site(t, { [hashed.slice(1)]: 'app', 'assets/photo-1920x1080.jpg': 'photo' }))));
  assert.equal((await call(url, {}, 'GET', hashed)).headers['cache-control'], 'public, max-age=31536000, immutable');
  assert.equal((await call(url, {}, 'GET', '/assets/photo-1920x1080.jpg')).headers['cache-control'], 'no-cache');
});

test('hashed names are told from words, numbers and dates', () => {
  const sure = ['/app.3f2a9c1b.js', '/app.3f2a9c1b0d4e.chunk.css', '/app-BcD3f9aX.js', '/style-161eac628543.css', '/x/index-a1B2_c3D4.js.map?v=1', '/main_3f2a9c1b3f2a9c1b.js'];
  const perhaps = [...sure, '/chunk-ABCDEFGH.js', '/index-BvXkPq_r.css', '/app.12345678.js', '/v-20240101.js'];
  const never = ['/', '/app.js', '/about-us.html', '/my-component.js', '/user-settings.css', '/jquery.min.js', '/3f2a9c1b/app.js', '/app-BcD3f9aX/', '/api?file=app.3f2a9c1b.js', '/app-1.2.3.js'];
  for (const path of perhaps) assert.ok(mayBeHashed(path), path);
  for (const path of never) assert.ok(!mayBeHashed(path) && !isSurelyHashed(path), path);
  for (const path of sure) assert.ok(isSurelyHashed(path), path);
  assert.ok(!mayBeHashed(`/${'-'.repeat(100_000)}a.js`));
  for (const path of ['/app.12345678.js', '/v-20240101.js', '/photo-1920x1080.jpg', '/phone-iphone12pro.png']) assert.ok(!isSurelyHashed(path), path);
});

test("a page of the release before still finds its own hashed assets, of files and of an application", async (t) => {
  const { gateway, url } = await opened(t);
  const before = folder('before', await site(t, { [hashed.slice(1)]: 'old app', 'page.html': 'old page' }));
  const live = folder('live', await site(t, { 'index.html': 'home' }));
  gateway.route('production', whole(live, before));
  const asset = await call(url, {}, 'GET', hashed);
  assert.equal(asset.body, 'old app');
  assert.equal(asset.headers['cairn-release'], before.release);
  assert.equal((await call(url, {}, 'HEAD', hashed)).headers['content-length'], '7');
  assert.equal((await call(url, {}, 'GET', '/page.html')).statusCode, 404);
  assert.equal((await call(url, {}, 'POST', hashed)).statusCode, 405);

  const asked: string[] = [];
  const old = backend('old web', await application(t, (request, response) => {
    asked.push(`${request.method} ${request.url}`);
    response.end('old script');
  }));
  const web = backend('web', await application(t, (request, response) => {
    response.statusCode = request.url?.includes('broken') === true ? 500 : request.url === '/' ? 200 : 404;
    response.end('live');
  }));
  gateway.route('production', whole(web, old));
  for (let turn = 0; turn < 3; turn++) assert.equal((await call(url, {}, 'GET', '/app.3f2a9c1b.js?x=1')).body, 'old script');
  assert.deepEqual(asked.splice(0), Array.from({ length: 3 }, () => 'GET /app.3f2a9c1b.js?x=1'));
  for (const [method, path] of [['GET', '/'], ['GET', '/app.js'], ['GET', '/broken.3f2a9c1b.js'], ['POST', '/app.3f2a9c1b.js'], ['DELETE', '/app.3f2a9c1b.js']] as const) {
    assert.equal((await call(url, {}, method, path)).body, 'live');
  }
  assert.deepEqual(asked, []);
  const { inFlight } = gateway.counts(digestOf('web'));
  assert.equal(inFlight, 0);
});

test('an asset that nobody has is not found, in the name of the live release', async (t) => {
  const { gateway, url } = await opened(t);
  const empty = await site(t, { 'index.html': 'home' });
  const dying = await rawApplication(t, (socket) => socket.once('data', () => socket.destroy()));
  const chunked = await application(t, (_, response) => {
    response.statusCode = 404;
    response.write('a long ');
    setTimeout(() => response.end('page'), 20);
  });
  for (const before of [folder('before', empty), backend('before', 'http://127.0.0.1:1'), backend('before'), backend('before', dying), backend('before', chunked)]) {
    for (const live of [folder('live', empty), backend('live', chunked)]) {
      gateway.route('production', whole(live, before));
      const answer = await call(url, {}, 'GET', hashed);
      assert.equal(answer.statusCode, 404);
      assert.equal(answer.headers['cairn-release'], live.release);
      assert.equal(gateway.counts(before.content).inFlight + gateway.counts(live.content).inFlight, 0);
    }
  }
});

test('in a split, a hashed asset is found on either side, since scripts are also loaded without cookies', async (t) => {
  const { gateway, url } = await opened(t);
  const former = folder('former', await site(t, { 'app.3f2a9c1b.js': 'former' }));
  const live = folder('live', await site(t, { 'app.4f2a9c1c.js': 'live' }));
  gateway.route('production', split(former, live, 50));
  for (let turn = 0; turn < 12; turn++) {
    assert.equal((await call(url, {}, 'GET', '/app.3f2a9c1b.js')).body, 'former');
    assert.equal((await call(url, {}, 'GET', '/app.4f2a9c1c.js')).body, 'live');
  }
});
