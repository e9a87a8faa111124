import assert from 'node:assert/strict';
import { test } from 'node:test';
import { digestOf } from '#core';
import { copyTree, fallbackTag, isIndex, mediaTypes, memoryStore, parseManifest, registryClient } from '#oci';
import { descriptorOf, image, json, withRegistry, withServer } from './fixture.ts';

async function* once(text: string): AsyncGenerator<Uint8Array> {
  yield Buffer.from(text);
}

test('a tree is copied children first, and copying it again sends nothing', () =>
  withRegistry(async ({ url, repositories }) => {
    const source = memoryStore();
    const children = [];
    for (const architecture of ['amd64', 'arm64']) {
      const bytes = await image(source, architecture);
      await source.write(bytes);
      children.push({ ...descriptorOf(bytes, mediaTypes.imageManifest), platform: { os: 'linux', architecture } });
    }
    const index = json({ schemaVersion: 2, mediaType: mediaTypes.imageIndex, manifests: children });
    await source.write(index);
    const client = registryClient(url, 'shop/web');
    const sent = await copyTree(source, client, descriptorOf(index, mediaTypes.imageIndex));
    assert.deepEqual([sent.manifests, sent.blobs], [3, 3]);
    assert.deepEqual((await repositories.getManifest('shop/web', digestOf(index))).bytes, index);
    assert.deepEqual(await copyTree(source, client, descriptorOf(index, mediaTypes.imageIndex)), { manifests: 0, blobs: 0, bytes: 0 });
    assert.deepEqual((await client.manifest(digestOf(index))).bytes, index);
    assert.equal((await client.blob(digestOf('arm64'))).toString(), 'arm64');
    assert.equal((await memoryStore().write(await client.blobStream(digestOf('arm64')), digestOf('arm64'))).size, 5);
  }));

test('a blob that the registry has is not opened, and one that is not its digest is refused', () =>
  withRegistry(async ({ url }) => {
    const client = registryClient(url, 'a');
    assert.equal(await client.pushBlob(digestOf('x'), 1, async () => once('x')), true);
    assert.equal(await client.pushBlob(digestOf('x'), 1, () => assert.fail('it was opened')), false);
    await assert.rejects(
      client.pushBlob(digestOf('genuine'), 6, async () => once('forged')),
      { code: 'refused' },
    );
  }));

test('a tag that is taken, a part that is absent and a manifest that is absent are told apart', () =>
  withRegistry(async ({ url, store }) => {
    const client = registryClient(url, 'a');
    await client.pushManifest(await image(store, 'one'), mediaTypes.imageManifest, 'v1');
    const two = await image(store, 'two');
    await assert.rejects(client.pushManifest(two, mediaTypes.imageManifest, 'v1'), { code: 'tag-immutable' });
    const gone = await image(store, 'x', { layers: [descriptorOf(Buffer.from('absent'), mediaTypes.layerTar)] });
    await assert.rejects(client.pushManifest(gone, mediaTypes.imageManifest), { code: 'not-found', retryable: false });
    await assert.rejects(client.manifest('v2'), { code: 'not-found' });
    assert.equal(await client.hasManifest('v1'), true);
    assert.equal(await client.hasManifest('v2'), false);
  }));

test('a registry that serves other bytes than the digest asked for is caught', () =>
  withServer(
    (_, response) => response.writeHead(200, { 'Content-Type': mediaTypes.imageManifest }).end('{}'),
    async (url) => {
      const client = registryClient(url, 'a');
      await assert.rejects(client.manifest(digestOf('x')), { code: 'digest-mismatch' });
      await assert.rejects(client.blob(digestOf('x')), { code: 'digest-mismatch' });
      await assert.rejects(client.blob(digestOf('{}'), 1), { code: 'malformed-document' });
    },
  ));

test('absent, unreachable, throttled and forbidden are told apart', async () => {
  const asked = digestOf('x');
  const answers: Record<number, object> = {
    404: { code: 'not-found', retryable: false },
    403: { code: 'unauthorized' },
    429: { code: 'throttled', retryable: true, context: { status: 429, retryAfterSeconds: 7 } },
    503: { code: 'unreachable', retryable: true, context: { status: 503 } },
    400: { code: 'refused' },
  };
  for (const [status, error] of Object.entries(answers)) {
    await withServer(
      (_, response) => response.writeHead(Number(status), { 'Retry-After': '7' }).end(),
      async (url) => assert.rejects(registryClient(url, 'a').manifest(asked), error),
    );
  }
  await assert.rejects(registryClient('http://127.0.0.1:1', 'a').manifest(asked), { code: 'unreachable', retryable: true });
  await withServer(
    (_, response) => {
      response.writeHead(200, { 'Content-Length': 100 }).write('half');
      setTimeout(() => response.destroy(), 20);
    },
    async (url) => assert.rejects(registryClient(url, 'a').blob(asked), { code: 'unreachable', retryable: true }),
  );
});

test('a password is sent to the registry it is for and to nobody it redirects to', async () => {
  let leaked: string | undefined = 'nobody asked';
  await withServer(
    (request, response) => {
      leaked = request.headers.authorization;
      response.end('x');
    },
    async (storage) =>
      withServer(
        (request, response) => {
          if (request.headers.authorization !== 'Basic bWU6c2VjcmV0') response.writeHead(401).end();
          else response.writeHead(307, { Location: `${storage}/x` }).end();
        },
        async (url) => {
          const client = registryClient(url.replace('//', '//me:secret@'), 'a');
          assert.equal((await client.blob(digestOf('x'))).toString(), 'x');
          assert.equal(leaked, undefined);
        },
      ),
  );
  await withServer(
    (_, response) => response.writeHead(302, { Location: 'file:///etc/passwd' }).end(),
    async (url) => assert.rejects(registryClient(url, 'a').blob(digestOf('x')), { code: 'refused' }),
  );
});

test('a registry that lists referrers needs no fallback tag', () =>
  withRegistry(async ({ url, store, repositories }) => {
    const client = registryClient(url, 'a');
    const subject = descriptorOf(Buffer.from('s'), mediaTypes.imageManifest);
    const bytes = await image(store, 'sbom', { subject, artifactType: 'application/vnd.sbom+json' });
    await client.pushReferrer(bytes, subject.digest);
    assert.deepEqual(await repositories.tags('a'), []);
    assert.deepEqual(
      (await client.referrers(subject.digest)).map(({ digest, artifactType }) => [digest, artifactType]),
      [[digestOf(bytes), 'application/vnd.sbom+json']],
    );
    assert.deepEqual(await client.referrers(digestOf('other')), []);
    await assert.rejects(client.pushReferrer(bytes, digestOf('other')), { code: 'digest-mismatch' });
  }));

test('where the registry lists no referrers, the fallback tag holds them all with type and annotations', () =>
  withRegistry(
    async ({ url, store }) => {
      const client = registryClient(url, 'a');
      const subject = descriptorOf(Buffer.from('s'), mediaTypes.imageManifest);
      assert.deepEqual(await client.referrers(subject.digest), []);
      const annotations = { 'dev.sigstore.bundle.content': 'dsse-envelope' };
      const pushes = Array.from({ length: 5 }, async (_, number) => {
        const bytes = await image(store, `sbom ${number}`, { subject, artifactType: 'application/vnd.sbom+json', annotations });
        await client.pushReferrer(bytes, subject.digest);
        return client.pushReferrer(bytes, subject.digest);
      });
      const digests = await Promise.all(pushes);
      const listed = await client.referrers(subject.digest);
      assert.deepEqual(listed.map(({ digest }) => digest).toSorted(), digests.toSorted());
      for (const descriptor of listed) {
        assert.deepEqual([descriptor.artifactType, descriptor.annotations], ['application/vnd.sbom+json', annotations]);
      }
      const held = await client.manifest(fallbackTag(subject.digest));
      assert.ok(isIndex(parseManifest(held.bytes, held.mediaType)));
    },
    {},
    // A registry of before 1.1: no such path, and no word about subjects.
    (request, response) => {
      const setHead = response.writeHead.bind(response) as (status: number, headers?: Record<string, string>) => typeof response;
      response.writeHead = ((status: number, headers: Record<string, string> = {}) => {
        const { 'OCI-Subject': _, ...rest } = headers;
        return setHead(status, rest);
      }) as typeof response.writeHead;
      if (!request.url?.includes('/referrers/')) return false;
      response.writeHead(404).end();
      return true;
    },
  ));

test('long lists of referrers are read page by page', () =>
  withServer(
    (request, response) => {
      const page = Number(new URL(request.url ?? '', 'http://x').searchParams.get('last') ?? 0);
      const manifests = [descriptorOf(Buffer.from(`page ${page}`), mediaTypes.imageManifest)];
      const link = page < 2 ? { Link: `<${request.url?.split('?')[0]}?last=${page + 1}>; rel="next"` } : {};
      response.writeHead(200, link).end(json({ schemaVersion: 2, mediaType: mediaTypes.imageIndex, manifests }));
    },
    async (url) => assert.equal((await registryClient(url, 'a').referrers(digestOf('s'))).length, 3),
  ));
