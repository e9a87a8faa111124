import assert from 'node:assert/strict';
import { cp, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { canonicalJson, digestOf } from '#core';
import { copyTree, emptyBytes, mediaTypes, memoryStore, registryClient, type ContentStore, type Descriptor } from '#oci';
import { makeRelease } from '#release';
import { outside, skipWithout } from './tools.ts';
import { openWorld, type World } from './world.ts';

const skip = skipWithout('cosign', 'crane', 'oras', 'registry', 'fsck', 'skopeo', 'git');
let world: World;

if (skip === false) {
  before(async () => {
    world = await openWorld();
  });
  after(() => world.close());
}

const cosign = (command: string[], key: string, reference: string) =>
  outside('cosign', ...command, '--key', world.keys(key), '--trusted-root', join(world.log, 'trusted_root.json'), reference);

test('cosign verifies the released image on our registry with the key and our trusted root', { skip }, async () => {
  const ran = await cosign(['verify'], 'ada', `${world.ours}/hello@${world.release}`);
  assert.equal(ran.code, 0, ran.stderr);
  assert.match(ran.stderr, /transparency log was verified offline/);
  assert.ok(ran.stdout.includes(world.release));
});

test('cosign verifies the provenance, of the release and of its component', { skip }, async () => {
  const { stdout } = await outside('crane', 'manifest', `${world.ours}/hello@${world.release}`);
  const component = (JSON.parse(stdout) as { manifests: Descriptor[] }).manifests[0]?.digest;
  for (const digest of [world.release, component]) {
    const ran = await cosign(['verify-attestation', '--type', 'slsaprovenance1'], 'ada', `${world.ours}/hello@${digest}`);
    assert.equal(ran.code, 0, ran.stderr);
    const statement = JSON.parse(Buffer.from((JSON.parse(ran.stdout.split('\n')[0] ?? '') as { payload: string }).payload, 'base64').toString()) as { predicateType: string; subject: { digest: { sha256: string } }[] };
    assert.equal(statement.predicateType, 'https://slsa.dev/provenance/v1');
    assert.ok(statement.subject.some((one) => digest === `sha256:${one.digest.sha256}`));
  }
});

test("cosign with an environment's admit key says whether the release was admitted there", { skip }, async () => {
  const reference = `${world.ours}/hello@${world.release}`;
  assert.equal((await cosign(['verify'], 'admit-staging', reference)).code, 0);
  const production = await cosign(['verify'], 'admit-production', reference);
  assert.notEqual(production.code, 0, 'it was never admitted to production');
});

test('cosign refuses the release under the trusted root of another log', { skip }, async () => {
  const path = join(world.scratch, 'other_root.json');
  const text = await readFile(join(world.log, 'trusted_root.json'), 'utf8');
  const keyId = (JSON.parse(text) as { tlogs: { logId: { keyId: string } }[] }).tlogs[0]?.logId.keyId ?? '';
  await writeFile(path, text.replace(keyId, Buffer.alloc(32, 7).toString('base64')));
  const ran = await outside('cosign', 'verify', '--key', world.keys('ada'), '--trusted-root', path, `${world.ours}/hello@${world.release}`);
  assert.notEqual(ran.code, 0);
});

async function fsck(folder: string): Promise<boolean> {
  // It exits 0 on damage, so only its words count.
  const { stderr } = await outside('fsck', `--storage_url=file://${folder}`, `--public_key=${join(folder, 'log.vkey')}`, '--ui=false', '-N=4');
  return stderr.includes("Successfully fsck'd log with size");
}

test("Tessera's fsck finds nothing on the exported log, and finds one flipped byte in a tile or an entry", { skip, timeout: 200_000 }, async () => {
  assert.ok(await fsck(world.log));
  const size = Number((await readFile(join(world.log, 'checkpoint'), 'utf8')).split('\n')[1]);
  for (const tile of [`tile/0/000.p/${size}`, `tile/entries/000.p/${size}`]) {
    const copy = join(world.scratch, `log-${tile.replaceAll('/', '-')}`);
    await cp(world.log, copy, { recursive: true });
    const bytes = await readFile(join(copy, tile));
    bytes.writeUInt8(bytes.readUInt8(40) ^ 1, 40);
    await writeFile(join(copy, tile), bytes);
    assert.ok(!(await fsck(copy)), `a flipped byte in ${tile}`);
  }
});

const copies: Readonly<Record<string, (from: string, to: string) => Promise<{ code: number; stderr: string }>>> = {
  crane: (from, to) => outside('crane', 'copy', from, to),
  oras: (from, to) => outside('oras', 'cp', '-r', '--from-plain-http', '--to-plain-http', from, to),
  skopeo: (from, to) => outside('skopeo', 'copy', '--all', '--src-tls-verify=false', '--dest-tls-verify=false', `docker://${from}`, `docker://${to}`),
};

/** Every manifest and blob that the release names is there, by digest. */
async function requireWhole(registry: string, name: string, digest: string): Promise<number> {
  const client = registryClient(`http://${registry}`, name);
  const seen = async (of: string): Promise<number> => {
    const document = JSON.parse((await client.manifest(of)).bytes.toString()) as { manifests?: Descriptor[]; config?: Descriptor; layers?: Descriptor[] };
    let count = 1;
    for (const child of document.manifests ?? []) count += await seen(child.digest);
    for (const blob of [...(document.config === undefined ? [] : [document.config]), ...(document.layers ?? [])]) {
      let size = 0;
      for await (const chunk of await client.blobStream(blob.digest)) size += (chunk as Buffer).byteLength;
      assert.equal(size, blob.size);
      count++;
    }
    return count;
  };
  return seen(digest);
}

for (const [tool, copy] of Object.entries(copies)) {
  test(`${tool} moves the release whole to another registry, its digest unchanged`, { skip }, async () => {
    const ran = await copy(`${world.ours}/hello@${world.release}`, `${world.theirs}/${tool}/hello:moved`);
    assert.equal(ran.code, 0, ran.stderr);
    assert.equal((await outside('crane', 'digest', `${world.theirs}/${tool}/hello:moved`)).stdout.trim(), world.release);
    assert.equal(await requireWhole(world.theirs, `${tool}/hello`, world.release), 9);
  });
}

test('a release that oras moved with its referrers still verifies with cosign, by the fallback tag', { skip }, async () => {
  const ran = await cosign(['verify'], 'ada', `${world.theirs}/oras/hello@${world.release}`);
  assert.equal(ran.code, 0, ran.stderr);
});

/** Two components on two platforms, small and made by hand. */
async function fixture(store: ContentStore) {
  const image = async (name: string, architecture: string): Promise<Descriptor> => {
    const plain = Buffer.from(`${name} for ${architecture}`);
    // Compressed, as all our layers are: skopeo compresses plain ones on the way and so changes the digest.
    const layer = gzipSync(plain);
    const config = canonicalJson({ architecture, os: 'linux', rootfs: { type: 'layers', diff_ids: [digestOf(plain)] } });
    const manifest = canonicalJson({
      schemaVersion: 2,
      mediaType: mediaTypes.imageManifest,
      config: { mediaType: mediaTypes.imageConfig, digest: digestOf(config), size: config.byteLength },
      layers: [{ mediaType: mediaTypes.layerTarGzip, digest: digestOf(layer), size: layer.byteLength }],
    });
    for (const bytes of [layer, config, manifest]) await store.write(bytes);
    return { mediaType: mediaTypes.imageManifest, digest: digestOf(manifest), size: manifest.byteLength, platform: { os: 'linux', architecture } };
  };
  const component = async (name: string) => ({
    name, kind: 'web' as const, command: ['node', `${name}.js`], health: { path: '/', intervalMs: 100, threshold: 1, deadlineMs: 1000 }, instances: 1,
    manifests: [await image(name, 'arm64'), await image(name, 'amd64')],
  });
  const made = makeRelease({
    application: 'pair', source: { uri: null, commit: '0'.repeat(40) }, created: '2026-01-02T03:04:05Z', toolchain: [], stages: digestOf('stages'),
    components: [await component('web'), await component('admin')], configuration: {}, schema: null,
  });
  for (const bytes of [emptyBytes, made.documentBytes, made.documentManifest, made.index, ...made.componentIndexes]) await store.write(bytes);
  return made;
}

test('a release of two components on two platforms survives all three copies', { skip }, async () => {
  const store = memoryStore();
  const made = await fixture(store);
  const client = registryClient(`http://${world.ours}`, 'pair');
  await copyTree(store, client, { mediaType: mediaTypes.imageIndex, digest: made.digest, size: made.index.byteLength });
  for (const index of made.componentIndexes) await client.pushManifest(index, mediaTypes.imageIndex);
  assert.deepEqual(made.document.components.map((one) => one.name), ['admin', 'web']);
  for (const [tool, copy] of Object.entries(copies)) {
    const ran = await copy(`${world.ours}/pair@${made.digest}`, `${world.theirs}/${tool}/pair:moved`);
    assert.equal(ran.code, 0, ran.stderr);
    assert.equal((await outside('crane', 'digest', `${world.theirs}/${tool}/pair:moved`)).stdout.trim(), made.digest);
    assert.equal(await requireWhole(world.theirs, `${tool}/pair`, made.digest), 16);
  }
});
