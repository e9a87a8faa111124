import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Readable } from 'node:stream';
import type { TestContext } from 'node:test';
import { bundleManifest, makeStatement, predicateTypes, provenance, signEnvelope, subjectOf, type Statement } from '#attest';
import { imageOf, layerOf } from '#build';
import { canonicalJson, digestOf, noFaults, type Clock, type Digest } from '#core';
import { believedRoots, adoptNextLogKey, findNextLogKey, makeNextLogKey, allRoles, createHome, createPerson, genesisPolicy, genesisTrust, loadPerson, loadSealer, loadServerKeys, personPublicKey, readToken, type Home } from '#home';
import { openLedger, openReader, type OpenLedger } from '#ledger';
import { emptyBytes, fileRepositories, fileStore, mediaTypes, registryClient, type ContentStore } from '#oci';
import { policyDigest, type Policy } from '#policy';
import { delivery, makeRelease, type Moved, type SignedStatement } from '#release';
import { logNoteKeys, signingConfig, trustedRoot, type LogVerifier } from '#log';
import { collectGarbage, collector, embeddedRegistry, fileSecrets, LogTrust, startServer } from '#server';
import { generateSigner, spkiOf, type Signer } from '#sign';
import { verifyBundle } from '#verify';
import { startWitnessing } from '#witness';
import { commitAll, git, passphrase, runCairn, user, type Ran } from './machine.ts';
import { memoryGateway } from './memory-gateway.ts';
import { assertPublished } from './schema.ts';

// A home with releases in it and the real control server over it, in this process; nothing is built and nothing runs, so that a
// test of what is read back has hundreds of releases in the time that one takes to build.

export const application = 'shop';

export interface Made {
  readonly commit: string;
  readonly release: Digest;
}

interface Parts {
  readonly files: Readonly<Record<string, string>>;
  readonly packages?: Readonly<Record<string, string>>;
  readonly configuration?: Readonly<Record<string, string>>;
  readonly message: string;
}

export interface Library {
  readonly folder: string;
  readonly repository: string;
  readonly home: Home;
  readonly url: string;
  readonly ledger: OpenLedger;
  readonly log: LogVerifier;
  readonly store: ContentStore;
  readonly signer: Signer;
  /** Of its commands. */
  readonly environment: Record<string, string>;
  /** Commits the files and makes a release of them: two layers, and the evidence that a build gives. */
  release(parts: Parts): Promise<Made>;
  promote(release: Digest, environment: 'staging' | 'production', configuration?: Readonly<Record<string, string>>): Promise<Moved>;
  rollback(environment: 'staging' | 'production'): Promise<Moved>;
  cairn(...parameters: string[]): Promise<Ran>;
  /** In another folder, with another home, or with the server at another port. */
  cairnAt(where: { cwd?: string; home?: string; port?: number }, ...parameters: string[]): Promise<Ran>;
  /** Runs a command with --json, which must succeed. */
  json<T>(...parameters: string[]): Promise<T>;
  /** Runs a command that must fail so, and say what mends it. */
  fails(exit: number, code: string, ...parameters: string[]): Promise<Failure>;
}

export interface Failure {
  readonly code: string;
  readonly message: string;
  readonly fix: string | null;
  readonly context: Readonly<Record<string, unknown>>;
}

export function sign(statement: Statement, signer: Signer): SignedStatement {
  return { envelope: signEnvelope(makeStatement(statement), signer), key: spkiOf(signer.publicKey).toString('base64') };
}

/** Home, ledger, registry and control server. */
async function openServer(t: TestContext, folder: string, adapt: (genesis: Policy) => Policy) {
  const clock: Clock = { now: () => new Date(), elapsed: () => performance.now() };
  const environments = [{ name: 'staging', port: 1 }, { name: 'production', port: 2 }];
  const { paths, settings } = await createHome(join(folder, 'home'), { host: '127.0.0.1', port: 0, environments, since: '2026-01-01T00:00:00Z' });
  const { origin } = settings;
  for (const name of [user, 'recovery']) await createPerson(paths.people, name, passphrase);
  const signer = await loadPerson(paths.people, user, passphrase);
  const names = environments.map(({ name }) => name);
  const keys = await loadServerKeys(paths.keys, names);
  const person = await personPublicKey(paths.people, user);
  const policy = adapt(genesisPolicy({ people: [{ name: user, roles: [...allRoles], keys: [person] }], environments: names, tests: true, soakMinutes: 0 }));
  const trust = genesisTrust(settings, keys, policy, { key: person, recovery: await personPublicKey(paths.people, 'recovery') });
  const ledger = await openLedger({ path: paths.ledger, keys: { origin, log: keys.log, time: keys.time }, record: keys.record, clock, faults: noFaults });
  await ledger.commit([
    sign({ predicateType: predicateTypes.policy, subject: [subjectOf('policy', policyDigest(policy))], predicate: policy }, signer),
    sign({ predicateType: predicateTypes.trust, subject: [subjectOf('trust', digestOf(canonicalJson(trust)))], predicate: trust }, signer),
  ]);
  await writeFile(paths.trust, JSON.stringify(trust));

  const store = fileStore(join(paths.registry, 'content'));
  const repositories = fileRepositories(join(paths.registry, 'repositories'), store);
  const registry = embeddedRegistry({ repositories, store, unpacked: paths.unpacked });
  const next = { find: () => findNextLogKey(paths.keys), make: () => makeNextLogKey(paths.keys), adopt: (key: Signer) => adoptNextLogKey(paths.keys, key) };
  const logTrust = await LogTrust.open({ ledger, genesis: trust, next, faults: noFaults, changed: async ({ rotations }) => writeFile(paths.rotations, JSON.stringify(rotations)) });
  const log = () => logTrust.verifier();
  const trusted = () => digestOf(canonicalJson({ origin, keys: [log().log, log().time].map((key) => spkiOf(key).toString('base64')) }));
  const { gateway, state } = memoryGateway();
  const secrets = fileSecrets(paths.secrets, await loadSealer(paths.keys));
  const witnessing = await startWitnessing({ witnesses: async () => (await ledger.policy()).witnesses ?? [], log: ledger, logKeys: () => logNoteKeys(log()), folder: paths.witnessed, report: () => {} });
  ledger.onCheckpoint(() => witnessing.nudge());
  const foreign = collector({ ledger, repositories, store, record: keys.record, log, roots: believedRoots(paths).load, clock, folder: join(folder, 'seen') });
  const moves = delivery({
    foreign: foreign.reader, collect: foreign.collect, witnesses: witnessing, ledger, registry, gateway, secrets, signers: keys, verify: (bundle, key) => verifyBundle(bundle, { log: log(), keys: [key] }), trust: trusted, origin, version: '0', platform: 'linux/amd64', clock, faults: noFaults,
    report: () => {},
  });
  const reader = await openReader(paths.ledger);
  const info = { version: '0', origin, environments: environments.map(({ name, port }) => ({ name, url: `http://127.0.0.1:${port}` })) };
  const server = await startServer({
    witnessing, published: async () => witnessing.decorate((await ledger.checkpoint())?.note ?? ''), ledger, logTrust, delivery: moves, registry, secrets, collector: foreign, reader, runner: async () => state(), metrics: async () => '', collectGarbage: (dryRun) => collectGarbage({ ledger, registry, repositories, store, runner: async () => state(), folders: paths, clock }, dryRun), token: await readToken(paths), info, repositories, store, host: '127.0.0.1', port: 0, clock,
    sigstore: (at) => ({ trustedRoot: JSON.stringify(trustedRoot(log(), settings.since)), signingConfig: JSON.stringify(signingConfig(at, settings.since)) }),
  });
  t.after(async () => {
    await server.close();
    await witnessing.close();
    await reader.close();
    await ledger.close();
  });
  const home = { paths, settings: { ...settings, port: Number(new URL(server.url).port) } };
  await writeFile(paths.settings, JSON.stringify(home.settings));
  return { home, trust, ledger, log, store, repositories, moves, signer };
}

/** @param adapt changes the first policy before anybody sees it */
export async function library(t: TestContext, adapt: (genesis: Policy) => Policy = (genesis) => genesis): Promise<Library> {
  const folder = await mkdtemp('/tmp/cairn-l-');
  const { home, trust, ledger, log, store, repositories, moves, signer } = await openServer(t, folder, adapt);
  t.after(() => rm(folder, { recursive: true, force: true }));
  const { origin } = home.settings;
  const url = `http://127.0.0.1:${home.settings.port}`;
  const token = await readToken(home.paths);
  const repository = join(folder, 'shop');
  await mkdir(repository);
  await git(repository, 'init', '--quiet', '--initial-branch=main');
  await writeFile(join(repository, 'cairn.yaml'), definition);
  await writeFile(join(repository, 'cairn.trust.json'), JSON.stringify({ genesis: trust, rotations: [] }));
  const environment = { ...(process.env as Record<string, string>), CAIRN_HOME: home.paths.root, CAIRN_USER: user, CAIRN_PASSPHRASE: passphrase, NODE_COMPILE_CACHE: '/tmp/cairn-test-compiled' };
  let since: string | null = null;

  /** Through the API, as a person's machine sends it. */
  async function state(statement: Statement): Promise<void> {
    const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
    const response = await fetch(`${url}/api/v1/statements/${application}`, { method: 'POST', headers, body: JSON.stringify(sign(statement, signer)) });
    assert.equal(response.status, 201, await response.text());
  }

  async function image(files: readonly string[], packages: Readonly<Record<string, string>>) {
    const deps = join(folder, 'deps');
    await rm(deps, { recursive: true, force: true });
    await mkdir(join(deps, 'node_modules'), { recursive: true });
    for (const [name, version] of Object.entries(packages)) await writeFile(join(deps, 'node_modules', `${name}.js`), `export default '${version}';\n`);
    const layers = [await layerOf('deps', deps, ['node_modules'], 'app', store), await layerOf('app', repository, files, 'app', store)];
    return imageOf(layers, ['node', 'server.js'], { os: 'linux', architecture: 'amd64' }, store);
  }

  async function release({ files, packages = {}, configuration = {}, message }: Parts): Promise<Made> {
    for (const [path, text] of Object.entries(files)) {
      await mkdir(dirname(join(repository, path)), { recursive: true });
      await writeFile(join(repository, path), text);
    }
    await commitAll(repository, message);
    const commit = (await git(repository, 'rev-parse', 'HEAD')).trim();
    const manifest = await image(Object.keys(files), packages);
    const health = { path: '/', intervalMs: 100, threshold: 1, deadlineMs: 1000 };
    const made = makeRelease({
      application, source: { uri: null, commit }, created: '2026-01-01T00:00:00Z', toolchain: [], stages: digestOf('stages'), configuration, schema: null,
      components: [{ name: 'web', kind: 'web', command: ['node', 'server.js'], health, instances: 1, manifests: [manifest] }],
    });
    for (const bytes of [emptyBytes, made.documentBytes]) await store.write(bytes);
    for (const bytes of [await store.read(manifest.digest), made.documentManifest, made.index]) await store.write(bytes);
    for (const bytes of [await store.read(manifest.digest), made.documentManifest]) await repositories.putManifest(application, digestOf(bytes), bytes, mediaTypes.imageManifest);
    await repositories.putManifest(application, made.digest, made.index, mediaTypes.imageIndex);

    const subject = [subjectOf(application, made.digest), subjectOf('web', manifest.digest)];
    const components = Object.entries(packages).map(([name, version]) => ({ type: 'library', name, version, purl: `pkg:npm/${name}@${version}` }));
    await state(provenance({
      subject, application, source: { uri: `git+https://${origin}/${application}`, commit }, stages: digestOf('stages'), environment: [], isolation: null, dependencies: [],
      builder: { id: `https://${origin}/builders/${user}`, version: '0' }, invocation: commit, startedAt: '2026-01-01T00:00:00Z', finishedAt: '2026-01-01T00:00:01Z',
    }));
    await state({ predicateType: predicateTypes.sbom, subject: [subjectOf('web', manifest.digest)], predicate: { bomFormat: 'CycloneDX', specVersion: '1.6', components } });
    await state({ predicateType: predicateTypes.tests, subject, predicate: { result: 'PASSED', configuration: [{ name: 'npm test' }], 'https://cairn.internal/tests/v1': { passed: 41, failed: 0 } } });
    await state({ predicateType: predicateTypes.notes, subject: [subjectOf(application, made.digest)], predicate: { since, commits: [{ commit, subject: message, author: 'Ada' }] } });
    since = commit;
    return { commit, release: made.digest };
  }

  async function cairnAt({ cwd = repository, home: other, port }: { cwd?: string; home?: string; port?: number }, ...parameters: string[]): Promise<Ran> {
    const env = { ...environment, ...(other !== undefined && { CAIRN_HOME: other }) };
    if (port === undefined) return runCairn(cwd, env, parameters);
    await writeFile(home.paths.settings, JSON.stringify({ ...home.settings, port }));
    try {
      return await runCairn(cwd, env, parameters);
    } finally {
      await writeFile(home.paths.settings, JSON.stringify(home.settings));
    }
  }

  const cairn = (...parameters: string[]) => runCairn(repository, environment, parameters);
  return {
    get log() {
      return log();
    },
    folder, repository, home, url, ledger, store, signer, environment, release, cairn, cairnAt,
    promote: async (digest, place, configuration = {}) => {
      const { head } = await ledger.timeline(application, place);
      const predicate = { action: 'promote' as const, application, environment: place, by: user, nonce: randomBytes(8).toString('hex'), head, configuration, secrets: {}, restores: null, reason: null };
      const moved = await moves.promote(sign({ predicateType: predicateTypes.request, subject: [subjectOf(application, digest)], predicate }, signer));
      return moved.confirmSeconds === 0 ? moved : moves.settle(moved.operation, 5_000);
    },
    rollback: (place) => moves.rollback({ operation: randomBytes(8).toString('hex'), application, environment: place, by: user, reason: 'it answers 500' }),
    json: async <T>(...parameters: string[]) => {
      const ran = await cairn(...parameters, '--json');
      assert.equal(ran.code, 0, `cairn ${parameters.join(' ')}: ${ran.stdout}${ran.stderr}`);
      assertPublished(parameters, ran.json);
      return ran.json as T;
    },
    fails: async (exit, code, ...parameters) => {
      const ran = await cairn(...parameters, '--json');
      const { error } = (ran.json ?? {}) as { error?: Failure };
      assert.deepEqual([ran.code, error?.code], [exit, code], `cairn ${parameters.join(' ')}: ${ran.stdout}${ran.stderr}`);
      assert.ok(error?.fix, 'a failure says what mends it');
      assertPublished(parameters, ran.json, true);
      return error;
    },
  };
}

/** Attaches a statement as anybody can who reaches the registry: signed by a key that nobody knows, in a log of its own making. */
export async function attach(shop: Library, release: Digest, statement: Statement): Promise<void> {
  const stranger = generateSigner('ecdsa');
  const folder = await mkdtemp('/tmp/cairn-f-');
  const keys = { origin: shop.home.settings.origin, log: generateSigner('ed25519'), time: generateSigner('ed25519') };
  const clock: Clock = { now: () => new Date(), elapsed: () => performance.now() };
  const forged = await openLedger({ path: join(folder, 'ledger.sqlite'), keys, record: stranger, clock, faults: noFaults });
  const [logged] = await forged.commit([sign(statement, stranger)]);
  await forged.close();
  await rm(folder, { recursive: true });
  const registry = registryClient(shop.url, application);
  const bytes = canonicalJson(logged?.bundle);
  const { bytes: index, mediaType } = await registry.manifest(release);
  const blob = { digest: digestOf(bytes), size: bytes.byteLength };
  await registry.pushBlob(blob.digest, blob.size, async () => Readable.from([bytes]));
  await registry.pushReferrer(bundleManifest({ mediaType, digest: release, size: index.byteLength }, blob, statement.predicateType, '2026-01-01T00:00:00Z'), release);
}

const definition = `application: ${application}
toolchain: { node: ${process.versions.node} }
stages:
  - { name: app, layer: [server.js] }
components:
  web: { kind: web, command: [node, server.js], health: { path: / } }
`;
