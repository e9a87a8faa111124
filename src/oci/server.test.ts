import assert from 'node:assert/strict';
import { request } from 'node:http';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { test } from 'node:test';
import { digestOf } from '#core';
import { emptyBytes, emptyDescriptor, manifestLimit, mediaTypes, memoryStore } from '#oci';
import { descriptorOf, image, json, withRegistry, type TestRegistry } from './fixture.ts';

async function begin(url: string): Promise<string> {
  const response = await fetch(`${url}/v2/a/blobs/uploads/`, { method: 'POST' });
  assert.equal(response.status, 202);
  return url + (response.headers.get('location') ?? '');
}

function patch(location: string, body: string, range?: string): Promise<Response> {
  return fetch(location, { method: 'PATCH', body, headers: range === undefined ? {} : { 'Content-Range': range } });
}

async function push(registry: TestRegistry, reference: string, bytes: Uint8Array, type: string = mediaTypes.imageManifest): Promise<Response> {
  return fetch(`${registry.url}/v2/a/manifests/${reference}`, {
    method: 'PUT',
    body: Buffer.from(bytes),
    headers: { 'Content-Type': type },
  });
}

async function codeOf(response: Response): Promise<string> {
  const body = (await response.json()) as { errors: { code: string }[] };
  return `${response.status} ${body.errors[0]?.code}`;
}

/** fetch tidies paths; an attacker does not. */
function rawStatus(url: string, path: string, method = 'GET'): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    request(url, { path, method }, (response) => resolve(response.resume().statusCode)).on('error', reject).end();
  });
}

test('the registry answers for /v2 and leaves other paths alone', () =>
  withRegistry(async ({ url }) => {
    const response = await fetch(`${url}/v2/`);
    assert.equal(response.status, 200);
    assert.equal(response.headers.get('docker-distribution-api-version'), 'registry/2.0');
    assert.equal((await fetch(`${url}/v2`)).status, 200);
    assert.equal((await fetch(`${url}/v20`)).status, 404);
  }));

test('a path that climbs out of a repository is refused', () =>
  withRegistry(async ({ url, folder }) => {
    const digest = digestOf('x');
    for (const name of ['..', '../..', 'a/../b', '%2e%2e', 'a%2f..', '_tags', 'a\\b']) {
      assert.equal(await rawStatus(url, `/v2/${name}/tags/list`), 400, name);
      assert.equal(await rawStatus(url, `/v2/${name}/blobs/${digest}`), 400, name);
      assert.equal(await rawStatus(url, `/v2/${name}/blobs/uploads/`, 'POST'), 400, name);
      assert.equal(await rawStatus(url, `/v2/${name}/manifests/v1`, 'PUT'), 400, name);
    }
    for (const last of ['..%2f..%2fx', '%2e%2e', 'sha256:..%2fx', '%']) assert.equal(await rawStatus(url, `/v2/a/manifests/${last}`), 400, last);
    assert.deepEqual(await readdir(folder), []);
  }));

test('a blob pushed in one request is served whole, in part, and by HEAD', () =>
  withRegistry(async ({ url }) => {
    const digest = digestOf('cairn of stones');
    const pushed = await fetch(`${url}/v2/a/blobs/uploads/?digest=${digest}`, { method: 'POST', body: 'cairn of stones' });
    assert.equal(pushed.status, 201);
    assert.equal(pushed.headers.get('location'), `/v2/a/blobs/${digest}`);
    const head = await fetch(`${url}/v2/a/blobs/${digest}`, { method: 'HEAD' });
    assert.deepEqual([head.status, head.headers.get('content-length'), head.headers.get('docker-content-digest')], [200, '15', digest]);
    const parts = { 'bytes=6-7': 'of', 'bytes=9-': 'stones', 'bytes=-6': 'stones', 'bytes=9-99': 'stones' };
    for (const [range, text] of Object.entries(parts)) {
      const response = await fetch(`${url}/v2/a/blobs/${digest}`, { headers: { range } });
      assert.deepEqual([response.status, await response.text()], [206, text], range);
    }
    const past = await fetch(`${url}/v2/a/blobs/${digest}`, { headers: { range: 'bytes=15-' } });
    assert.deepEqual([past.status, past.headers.get('content-range')], [416, 'bytes */15']);
    assert.equal(await (await fetch(`${url}/v2/a/blobs/${digest}`, { headers: { range: 'bytes=0-1,3-4' } })).text(), 'cairn of stones');
    assert.equal(await codeOf(await fetch(`${url}/v2/a/blobs/${digestOf('none')}`)), '404 BLOB_UNKNOWN');
    assert.equal(await codeOf(await fetch(`${url}/v2/a/blobs/sha256:AB`)), '400 DIGEST_INVALID');
  }));

test('chunks are taken in order only, and the upload tells where it is', () =>
  withRegistry(async ({ url }) => {
    const location = await begin(url);
    const first = await patch(location, 'cairn', '0-4');
    assert.deepEqual([first.status, first.headers.get('range')], [202, '0-4']);
    const early = await patch(location, 'stones', '9-14');
    assert.deepEqual([await codeOf(early), early.headers.get('range')], ['416 BLOB_UPLOAD_INVALID', '0-4']);
    assert.equal((await patch(location, 'cairn', '0-4')).status, 416);
    assert.equal(await codeOf(await patch(location, ' of', '5-9')), '400 SIZE_INVALID');
    const status = await fetch(location);
    assert.deepEqual([status.status, status.headers.get('range')], [204, '0-4']);
    assert.equal((await patch(location, ' of ', '5-8')).status, 202);
    const digest = digestOf('cairn of stones');
    const end = await fetch(`${location}?digest=${digest}`, { method: 'PUT', body: 'stones', headers: { 'Content-Range': '9-14' } });
    assert.equal(end.status, 201);
    assert.equal(await (await fetch(`${url}/v2/a/blobs/${digest}`)).text(), 'cairn of stones');
    assert.equal(await codeOf(await fetch(location)), '404 BLOB_UPLOAD_UNKNOWN');
  }));

test('an upload that breaks off in a chunk is carried on from what arrived', () =>
  withRegistry(async ({ url }) => {
    const location = await begin(url);
    await new Promise<void>((resolve) => {
      const broken = request(location, { method: 'PATCH', headers: { 'Content-Length': 100 } });
      broken.on('error', () => resolve());
      broken.write('cairn', () => setTimeout(() => broken.destroy(), 50));
    });
    let range: string | null = null;
    for (let wait = 0; range !== '0-4' && wait < 100; wait += 1) {
      await sleep(10);
      range = (await fetch(location)).headers.get('range');
    }
    let end = await fetch(`${location}?digest=${digestOf('cairns')}`, { method: 'PUT', body: 's' });
    for (let wait = 0; end.status === 409 && wait < 100; wait += 1) {
      await sleep(10);
      end = await fetch(`${location}?digest=${digestOf('cairns')}`, { method: 'PUT', body: 's' });
    }
    assert.equal(end.status, 201);
  }));

test('content that is not what its digest says is refused and leaves nothing behind', () =>
  withRegistry(async ({ url, folder }) => {
    const single = await fetch(`${url}/v2/a/blobs/uploads/?digest=${digestOf('genuine')}`, { method: 'POST', body: 'forged' });
    assert.equal(await codeOf(single), '400 DIGEST_INVALID');
    const location = await begin(url);
    await patch(location, 'forged');
    assert.equal(await codeOf(await fetch(`${location}?digest=${digestOf('genuine')}`, { method: 'PUT' })), '400 DIGEST_INVALID');
    assert.equal((await fetch(location)).status, 404);
    for (const text of ['forged', 'genuine']) assert.equal((await fetch(`${url}/v2/a/blobs/${digestOf(text)}`)).status, 404);
    assert.deepEqual(await readdir(join(folder, 'incoming')), []);
  }));

test('uploads are bounded in number and in idle time, and can be cancelled', () =>
  withRegistry(
    async ({ url, folder }) => {
      const [one] = [await begin(url), await begin(url)];
      assert.equal(await codeOf(await fetch(`${url}/v2/a/blobs/uploads/`, { method: 'POST' })), '429 TOOMANYREQUESTS');
      assert.equal((await fetch(one, { method: 'DELETE' })).status, 204);
      assert.equal((await fetch(one)).status, 404);
      await sleep(400);
      await begin(url);
      await begin(url);
      for (let wait = 0; (await readdir(join(folder, 'incoming'))).length > 2 && wait < 50; wait += 1) await sleep(10);
    },
    { uploadSessions: 2, uploadIdleMilliseconds: 300 },
  ));

test('an upload belongs to its repository; a blob is mounted from any', () =>
  withRegistry(async ({ url, store }) => {
    const location = await begin(url);
    assert.equal((await fetch(location.replace('/v2/a/', '/v2/b/'))).status, 404);
    const { digest } = await store.write(Buffer.from('shared'));
    assert.equal((await fetch(`${url}/v2/b/blobs/uploads/?mount=${digest}&from=a`, { method: 'POST' })).status, 201);
    assert.equal((await fetch(`${url}/v2/b/blobs/uploads/?mount=${digestOf('none')}&from=a`, { method: 'POST' })).status, 202);
  }));

test('a manifest is served by tag and digest, and its tag is written once', () =>
  withRegistry(async (registry) => {
    const bytes = await image(registry.store, 'one');
    const digest = digestOf(bytes);
    const pushed = await push(registry, 'v1', bytes);
    assert.deepEqual([pushed.status, pushed.headers.get('location')], [201, `/v2/a/manifests/${digest}`]);
    for (const reference of ['v1', digest, encodeURIComponent(digest)]) {
      const response = await fetch(`${registry.url}/v2/a/manifests/${reference}`);
      assert.equal(response.headers.get('content-type'), mediaTypes.imageManifest);
      assert.equal(response.headers.get('docker-content-digest'), digest);
      assert.deepEqual(Buffer.from(await response.arrayBuffer()), bytes);
    }
    assert.equal((await fetch(`${registry.url}/v2/a/manifests/v1`, { method: 'HEAD' })).headers.get('content-length'), `${bytes.byteLength}`);
    assert.equal((await push(registry, 'v1', bytes)).status, 201);
    assert.equal(await codeOf(await push(registry, 'v1', await image(registry.store, 'two'))), '409 DENIED');
    assert.equal(await codeOf(await push(registry, digestOf('x'), bytes)), '400 DIGEST_INVALID');
    assert.equal(await codeOf(await push(registry, 'v2', bytes, mediaTypes.imageIndex)), '400 MANIFEST_INVALID');
    assert.equal(await codeOf(await fetch(`${registry.url}/v2/a/manifests/v9`)), '404 MANIFEST_UNKNOWN');
  }));

test('a manifest with absent parts, or larger than four mebibytes, is refused', () =>
  withRegistry(async (registry) => {
    const bytes = await image(registry.store, 'x', { layers: [descriptorOf(Buffer.from('absent'), mediaTypes.layerTar)] });
    assert.equal(await codeOf(await push(registry, 'v1', bytes)), '404 MANIFEST_BLOB_UNKNOWN');
    const large = await image(registry.store, 'x', { annotations: { large: 'x'.repeat(manifestLimit) } });
    assert.equal(await codeOf(await push(registry, 'v1', large)), '413 SIZE_INVALID');
  }));

test('nothing is deleted over the wire', () =>
  withRegistry(async (registry) => {
    await push(registry, 'v1', await image(registry.store, 'one'));
    for (const path of ['manifests/v1', `blobs/${emptyDescriptor.digest}`]) {
      const response = await fetch(`${registry.url}/v2/a/${path}`, { method: 'DELETE' });
      assert.equal(await codeOf(response), '405 UNSUPPORTED');
      assert.match(response.headers.get('allow') ?? '', /GET/);
    }
  }));

test('tags are listed in pages', () =>
  withRegistry(async (registry) => {
    const bytes = await image(registry.store, 'one');
    for (const tag of ['c', 'a', 'B', 'b']) await push(registry, tag, bytes);
    const first = await fetch(`${registry.url}/v2/a/tags/list?n=3`);
    assert.deepEqual(await first.json(), { name: 'a', tags: ['B', 'a', 'b'] });
    assert.equal(first.headers.get('link'), '</v2/a/tags/list?n=3&last=b>; rel="next"');
    const second = await fetch(`${registry.url}/v2/a/tags/list?n=3&last=b`);
    assert.deepEqual([await second.json(), second.headers.get('link')], [{ name: 'a', tags: ['c'] }, null]);
    assert.deepEqual(await (await fetch(`${registry.url}/v2/a/tags/list?n=0`)).json(), { name: 'a', tags: [] });
    assert.equal(await codeOf(await fetch(`${registry.url}/v2/none/tags/list`)), '404 NAME_UNKNOWN');
  }));

test('referrers are listed, filtered by type, and an empty list is no error', () =>
  withRegistry(async (registry) => {
    const subject = descriptorOf(Buffer.from('s'), mediaTypes.imageManifest);
    const sbom = await image(registry.store, 'sbom', { subject, artifactType: 'application/vnd.sbom+json' });
    const pushed = await push(registry, digestOf(sbom), sbom);
    assert.equal(pushed.headers.get('oci-subject'), subject.digest);
    await push(registry, 'other', await image(registry.store, 'other', { subject }));
    const list = async (query: string): Promise<{ count: number; filters: string | null }> => {
      const response = await fetch(`${registry.url}/v2/a/referrers/${subject.digest}${query}`);
      assert.equal(response.headers.get('content-type'), mediaTypes.imageIndex);
      const { manifests } = (await response.json()) as { manifests: unknown[] };
      return { count: manifests.length, filters: response.headers.get('oci-filters-applied') };
    };
    assert.deepEqual(await list(''), { count: 2, filters: null });
    assert.deepEqual(await list('?artifactType=application/vnd.sbom%2Bjson'), { count: 1, filters: 'artifactType' });
    assert.deepEqual(await list('?artifactType=none'), { count: 0, filters: 'artifactType' });
    assert.equal((await fetch(`${registry.url}/v2/none/referrers/${subject.digest}`)).status, 200);
  }));

test('a failure of ours is reported to us and told to the client as no more than that', async () => {
  const reported: string[] = [];
  await withRegistry(
    async (registry) => {
      await registry.store.write(emptyBytes);
      const bytes = json({ schemaVersion: 2, mediaType: mediaTypes.imageManifest, config: emptyDescriptor, layers: [] });
      const response = await push(registry, 'v1', bytes);
      assert.equal(response.status, 500);
      assert.doesNotMatch(await response.text(), /secret/);
      assert.deepEqual(reported, ['/secret/path is full']);
    },
    {
      report: (error) => reported.push(error.message),
      faults: {
        point() {
          throw new Error('/secret/path is full');
        },
      },
    },
  );
});

test('a store that fails in the middle of an upload is an answer and a report, and the registry serves on', async () => {
  const reported: string[] = [];
  const store = {
    ...memoryStore(),
    async write(content: Uint8Array | AsyncIterable<Uint8Array>): Promise<never> {
      if (!(content instanceof Uint8Array)) for await (const _ of content) break;
      throw new Error('no space left');
    },
  };
  await withRegistry(
    async ({ url }) => {
      const location = await begin(url);
      const response = await patch(location, 'x'.repeat(1 << 20));
      assert.equal(await codeOf(response), '500 UNKNOWN');
      assert.deepEqual(reported, ['no space left']);
      assert.equal((await fetch(location)).status, 404);
      assert.equal((await fetch(`${url}/v2/`)).status, 200);
    },
    { store, report: (error) => reported.push(error.message) },
  );
});
