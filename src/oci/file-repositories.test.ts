import assert from 'node:assert/strict';
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { digestOf } from '#core';
import { fileRepositories, fileStore, mediaTypes, type ContentStore, type Repositories } from '#oci';
import { descriptorOf, image, json, withFolder } from './fixture.ts';

interface Place {
  readonly folder: string;
  readonly store: ContentStore;
  readonly repositories: Repositories;
}

async function withRepositories(run: (place: Place) => Promise<void>): Promise<void> {
  await withFolder(async (folder) => {
    const store = fileStore(folder);
    await run({ folder, store, repositories: fileRepositories(join(folder, 'repositories'), store) });
  });
}

test('a manifest comes back byte for byte by tag and by digest', () =>
  withRepositories(async ({ store, repositories }) => {
    const bytes = await image(store, 'stone');
    const { digest } = await repositories.putManifest('shop/web', 'v1', bytes, mediaTypes.imageManifest);
    for (const reference of ['v1', digest]) {
      assert.deepEqual(await repositories.getManifest('shop/web', reference), { bytes, mediaType: mediaTypes.imageManifest, digest });
    }
    assert.deepEqual(await repositories.tags('shop/web'), ['v1']);
    await assert.rejects(repositories.getManifest('shop', 'v1'), { code: 'not-found' });
    await assert.rejects(repositories.tags('shop'), { code: 'not-found' });
  }));

test('names and references that would leave the folder are refused before they become paths', () =>
  withRepositories(async ({ folder, store, repositories }) => {
    const bytes = await image(store, 'stone');
    for (const name of ['..', '../x', 'a/../b', '/etc', 'a//b', 'a/', '_tags', 'a/_tags', 'A', 'a\0b', 'a\n', 'a/.b', `${'a'.repeat(256)}`, '']) {
      await assert.rejects(repositories.putManifest(name, 'v1', bytes), { code: 'invalid-configuration' }, name);
      await assert.rejects(repositories.getManifest(name, 'v1'), { code: 'invalid-configuration' }, name);
      await assert.rejects(repositories.tags(name), { code: 'invalid-configuration' }, name);
      await assert.rejects(repositories.referrers(name, digestOf('')), { code: 'invalid-configuration' }, name);
      await assert.rejects(repositories.blobSize(name, digestOf('')), { code: 'invalid-configuration' }, name);
    }
    for (const reference of ['../v1', '.', '..', 'a/b', '', '.new-1', 'a'.repeat(129)]) {
      await assert.rejects(repositories.putManifest('a', reference, bytes), { code: 'unknown-reference' }, reference);
    }
    await assert.rejects(repositories.getManifest('a', 'sha256:../../x'), { code: 'invalid-digest' });
    assert.deepEqual((await readdir(folder)).toSorted(), ['blobs', 'incoming']);
  }));

test('a tag is written once: the same digest again is fine, another one is refused', () =>
  withRepositories(async ({ store, repositories }) => {
    const bytes = await image(store, 'one');
    const { digest } = await repositories.putManifest('a', 'v1', bytes);
    assert.equal((await repositories.putManifest('a', 'v1', bytes)).digest, digest);
    await assert.rejects(repositories.putManifest('a', 'v1', await image(store, 'two')), { code: 'tag-immutable' });
    assert.equal((await repositories.getManifest('a', 'v1')).digest, digest);
  }));

test('of racing writers of one tag exactly one wins, across processes of the same folder', () =>
  withRepositories(async ({ folder, store }) => {
    const images = await Promise.all(Array.from({ length: 24 }, (_, number) => image(store, `racer ${number}`)));
    const results = await Promise.allSettled(
      images.map((bytes) => fileRepositories(join(folder, 'repositories'), fileStore(folder)).putManifest('a', 'v1', bytes)),
    );
    const winners = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value.digest] : []));
    assert.equal(winners.length, 1);
    for (const result of results) if (result.status === 'rejected') assert.equal(result.reason.code, 'tag-immutable');
    assert.equal((await fileRepositories(join(folder, 'repositories'), store).getManifest('a', 'v1')).digest, winners[0]);
  }));

test('evidence tags move, and what looks like one does not', () =>
  withRepositories(async ({ store, repositories }) => {
    const hex = 'ab'.repeat(32);
    const two = await image(store, 'two');
    for (const label of [`sha256-${hex}`, `sha256-${hex}.sig`, `sha256-${hex}.att`, `sha256-${hex}.sbom`]) {
      await repositories.putManifest('a', label, await image(store, 'one'));
      await repositories.putManifest('a', label, two);
      assert.equal((await repositories.getManifest('a', label)).digest, digestOf(two));
    }
    for (const label of [`sha256-${hex}.exe`, `sha256-${hex}0`, `v-sha256-${hex}`]) {
      await repositories.putManifest('a', label, await image(store, 'one'));
      await assert.rejects(repositories.putManifest('a', label, two), { code: 'tag-immutable' });
    }
  }));

test('a manifest is refused while what it names is absent, of another size, or only a blob', () =>
  withRepositories(async ({ store, repositories }) => {
    const bytes = await image(store, 'here');
    const child = descriptorOf(bytes, mediaTypes.imageManifest);
    const index = json({ schemaVersion: 2, mediaType: mediaTypes.imageIndex, manifests: [child] });
    const gone = await image(store, 'x', { layers: [descriptorOf(Buffer.from('absent'), mediaTypes.layerTar)] });
    await assert.rejects(repositories.putManifest('a', 'v1', gone), { code: 'not-found' });
    await store.write(bytes);
    await assert.rejects(repositories.putManifest('a', 'v1', index), { code: 'not-found' });
    const config = { ...child, mediaType: mediaTypes.imageConfig, size: 1 };
    await assert.rejects(repositories.putManifest('a', 'v1', await image(store, 'x', { config })), { code: 'malformed-document' });
    await repositories.putManifest('a', child.digest, bytes);
    await repositories.putManifest('a', 'v1', index);
    await assert.rejects(repositories.putManifest('a', digestOf('other'), bytes), { code: 'digest-mismatch' });
  }));

test('referrers are listed in one order with type and annotations, also for a subject that comes later or never', () =>
  withRepositories(async ({ store, repositories }) => {
    const subject = descriptorOf(Buffer.from('to come'), mediaTypes.imageManifest);
    const annotations = { 'dev.sigstore.bundle.content': 'dsse-envelope' };
    const typed = await image(store, 'a', { subject, artifactType: 'application/vnd.example', annotations });
    const untyped = await image(store, 'b', { subject });
    for (const bytes of [typed, untyped, typed]) {
      assert.equal((await repositories.putManifest('a', digestOf(bytes), bytes)).subject, subject.digest);
    }
    const listed = await repositories.referrers('a', subject.digest);
    assert.deepEqual(
      listed,
      [
        { ...descriptorOf(typed, mediaTypes.imageManifest), artifactType: 'application/vnd.example', annotations },
        { ...descriptorOf(untyped, mediaTypes.imageManifest), artifactType: mediaTypes.empty },
      ].toSorted((one, other) => (one.digest < other.digest ? -1 : 1)),
    );
    assert.deepEqual(await repositories.referrers('b', subject.digest), []);
  }));

test('what a crash leaves half-written is never listed, and the same push completes it', () =>
  withRepositories(async ({ folder, store, repositories }) => {
    const subject = descriptorOf(Buffer.from('s'), mediaTypes.imageManifest);
    const bytes = await image(store, 'a', { subject });
    const listing = join(folder, 'repositories', 'a', '_referrers', subject.digest.slice(7));
    await mkdir(listing, { recursive: true });
    await writeFile(join(listing, digestOf(bytes).slice(7)), '');
    await writeFile(join(listing, '.new-1'), '');
    assert.deepEqual(await repositories.referrers('a', subject.digest), []);
    await repositories.putManifest('a', 'v1', bytes);
    await writeFile(join(folder, 'repositories', 'a', '_tags', '.new-1'), '');
    assert.equal((await repositories.referrers('a', subject.digest)).length, 1);
    assert.deepEqual(await repositories.tags('a'), ['v1']);
  }));
