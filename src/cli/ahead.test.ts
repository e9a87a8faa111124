import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Readable } from 'node:stream';
import { test, type TestContext } from 'node:test';
import { CairnError, digestOf, type Digest } from '#core';
import type { RegistryClient } from '#oci';
import { askAhead, hashAhead } from './ahead.ts';
import { rehash } from './anatomy.ts';
import type { Context } from './context.ts';
import { verifyPlain } from './plain-verify.ts';

async function homeWith(t: TestContext, layer: string, resting = layer): Promise<{ home: string; release: Digest; layer: Digest }> {
  const home = await mkdtemp('/tmp/cairn-h-');
  t.after(() => rm(home, { recursive: true }));
  const put = async (digest: Digest, content: string) => {
    const path = join(home, 'registry/content/blobs/sha256', digest.slice(7, 9), digest.slice(7));
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, content);
    return digest;
  };
  const put1 = (content: string) => put(digestOf(content), content);
  const digest = await put(digestOf(layer), resting);
  const manifest = await put1(JSON.stringify({ config: { digest: await put1('{}') }, layers: [{ digest }] }));
  return { home, layer: digest, release: await put1(JSON.stringify({ manifests: [{ digest: manifest }] })) };
}

/** A registry that has those bytes under any digest, and counts how often it is asked. */
function registry(content: string): { client: RegistryClient; asked: () => number } {
  let asked = 0;
  const client = { blobStream: async () => (asked++, Readable.from([Buffer.from(content)])) } as unknown as RegistryClient;
  return { client, asked: () => asked };
}

const described = (digest: Digest, size: number) => ({ mediaType: 'application/octet-stream', digest, size });

test('what a release is made of is hashed ahead, each by what its bytes are and not by its name', async (t) => {
  const good = await homeWith(t, 'layer');
  const hashed = await hashAhead(good.home, good.release)?.();
  assert.deepEqual(hashed?.get(good.layer), { digest: good.layer, size: 5 });
  const bad = await homeWith(t, 'layer', 'lager!');
  const found = await hashAhead(bad.home, bad.release)?.();
  assert.deepEqual(found?.get(bad.layer), { digest: digestOf('lager!'), size: 6 });
});

test('bytes that were hashed ahead and are others than the release names are refused', async (t) => {
  const bad = await homeWith(t, 'layer', 'lager');
  const { client, asked } = registry('layer');
  await assert.rejects(rehash(client, [described(bad.layer, 5)], hashAhead(bad.home, bad.release)), (error) => error instanceof CairnError && error.code === 'digest-mismatch');
  assert.equal(asked(), 0, 'the registry would have said otherwise');
});

test('what was not hashed ahead is read and hashed', async (t) => {
  const { home, release } = await homeWith(t, 'layer');
  const { client, asked } = registry('more');
  assert.equal(await rehash(client, [described(digestOf('more'), 4)], hashAhead(home, release)), 4);
  assert.equal(asked(), 1);
  await assert.rejects(rehash(client, [described(digestOf('other'), 4)], hashAhead(home, release)), (error) => error instanceof CairnError && error.code === 'digest-mismatch');
});

test('where nothing rests, or what rests is no release, nothing is done ahead', async (t) => {
  const { home, layer } = await homeWith(t, 'layer');
  for (const digest of [digestOf('missing'), layer]) assert.equal(hashAhead(home, digest), undefined);
  assert.equal(askAhead(home, layer).size, 0, 'a home without settings');
});

test('only a release by its whole digest, of an application that is named plainly, goes past the parser', async (t) => {
  const directory = await mkdtemp('/tmp/cairn-d-');
  t.after(() => rm(directory, { recursive: true }));
  const context = { system: { directory, home: directory } } as unknown as Context;
  const digest = digestOf('x');
  for (const words of [['verify'], ['verify', 'production'], ['verify', digest.slice(0, 20)], ['verify', digest, 'more'], ['verify', digest, '--help'], ['show', digest], ['verify', digest]]) {
    assert.equal(await verifyPlain(words, context), false, words.join(' '));
  }
  // Two names are none.
  await writeFile(join(directory, 'cairn.yaml'), 'application: shop\napplication: other\n');
  assert.equal(await verifyPlain(['verify', digest], context), false);
});
