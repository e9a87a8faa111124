import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Digest } from '#core';
import { commitAll, git, Machine, runCairn, top, user, type Ran } from '../support/machine.ts';

// From a commit to a digest and what is said of it; and what goes wrong on the way, after which nothing was published.

interface Released {
  readonly release: Digest;
  readonly again: boolean;
  readonly changes: string | null;
  readonly tests: { passed: number | null; failed: number | null } | null;
  readonly isolation: { users: boolean; limits: boolean; reason: string | null } | null;
  readonly statements: readonly string[];
  readonly document: { components: { name: string; kind: string; digest: Digest }[]; source: { changes?: string }; confirm: { seconds: number } };
}

const server = `import { createServer } from 'node:http';
createServer((request, response) => response.end('well')).listen(process.env.PORT, process.env.HOST);
`;

/** A repository without cairn.yaml: a server, a built page and a test. */
async function bare(t: TestContext): Promise<Machine> {
  const machine = await Machine.make(t);
  await rm(join(machine.repository, 'cairn.yaml'));
  await writeFile(join(machine.repository, 'server.js'), server);
  const scripts = { start: 'node server.js', build: 'mkdir -p dist && date -u +%Y -d @$SOURCE_DATE_EPOCH > dist/year', test: 'node --test' };
  await writeFile(join(machine.repository, 'package.json'), JSON.stringify({ name: 'hello', type: 'module', scripts }));
  await writeFile(join(machine.repository, 'server.test.js'), "import test from 'node:test'; test('adds', () => {}); test('adds more', () => {});\n");
  await commitAll(machine.repository, 'bare');
  return machine;
}

async function released(machine: Machine, ...flags: string[]): Promise<Released> {
  const ran = await machine.cairn('release', '--json', ...flags);
  assert.equal(ran.code, 0, ran.stdout + ran.stderr);
  return ran.json as Released;
}

async function said(machine: Machine, digest: Digest): Promise<{ type: string; predicate: Record<string, unknown> }[]> {
  const api = await machine.api();
  return (await api.statements(digest)).map(({ predicateType, bundle }) => ({ type: predicateType, ...(JSON.parse(Buffer.from(bundle.dsseEnvelope.payload, 'base64').toString()) as { predicate: Record<string, unknown> }) }));
}

test('what init finds is released with its tests, bill, notes and provenance', async (t) => {
  const machine = await bare(t);
  const found = await machine.cairn('init');
  assert.match(found.stdout, /found +Node application, no dependencies, starts with `node server\.js`, has tests/);
  assert.match(found.stdout, /production asks for +provenance, sbom, tests, a clean commit, staging before, 1 approval/);
  await commitAll(machine.repository, 'init');
  await machine.startUp();

  const people = await machine.cairn('release');
  assert.equal(people.code, 0, people.stderr);
  for (const control of ['\u001b', '\r']) assert.ok(!`${people.stdout}${people.stderr}`.includes(control), 'no terminal, no updating line');
  assert.match(people.stdout, /ok test +npm test +[\d.]+ s +2 tests passed/);
  assert.match(people.stdout, /ok proof +sbom, tests, notes, provenance/);
  // What the runtime came to is kept for the other machines.
  await machine.release();
  const first = await released(machine);
  assert.equal(first.again, true);
  assert.match((await machine.cairn('release')).stdout, /released before: the same digest/);
  assert.deepEqual([first.statements, first.tests], [[], { passed: 2, failed: 0 }]);

  const about = await said(machine, first.release);
  const provenance = about.find(({ type }) => type.includes('slsa.dev/provenance'))?.predicate as { buildDefinition: { internalParameters: object; externalParameters: object; resolvedDependencies: { uri: string }[] } };
  assert.deepEqual(provenance.buildDefinition.internalParameters, { environment: [], isolation: first.isolation });
  assert.equal(first.isolation?.users, process.getuid?.() === 0);
  assert.ok(provenance.buildDefinition.resolvedDependencies.some(({ uri }) => uri === `pkg:generic/node@${process.versions.node}`));
  assert.deepEqual(about.find(({ type }) => type.includes('test-result'))?.predicate['https://cairn.internal/tests/v1'], { passed: 2, failed: 0 });
  const notes = (one: { type: string }[]) => (one.find(({ type }) => type.includes('notes')) as unknown as { predicate: { since: string | null; commits: { subject: string; author: string }[] } }).predicate;
  assert.deepEqual(notes(about).commits.map(({ subject, author }) => `${subject} ${author}`), ['init Ada', 'bare Ada', 'hello Ada']);
  const bill = (await said(machine, first.document.components[0]?.digest as Digest)).find(({ type }) => type.includes('cyclonedx'))?.predicate as { components: { purl: string }[]; serialNumber?: string };
  assert.deepEqual([bill.components.map(({ purl }) => purl), bill.serialNumber], [[`pkg:generic/node@${process.versions.node}`], undefined]);

  await writeFile(join(machine.repository, 'server.js'), `${server}// more\n`);
  const before = await git(machine.repository, 'rev-parse', 'HEAD');
  const refused = await machine.cairn('release', '--json');
  assert.deepEqual([refused.code, (refused.json as { error: { code: string } }).error.code], [2, 'dirty-tree']);
  const status = await git(machine.repository, 'status', '--porcelain');
  const dirty = await released(machine, '--dirty');
  assert.match(dirty.changes ?? '', /^[0-9a-f]{40}$/);
  assert.equal(dirty.document.source.changes, dirty.changes);
  assert.equal(await git(machine.repository, 'status', '--porcelain'), status, 'the index is as it was');
  const told = (await said(machine, dirty.release)).find(({ type }) => type.includes('provenance'))?.predicate as typeof provenance;
  assert.equal((told.buildDefinition.externalParameters as { changes: string }).changes, dirty.changes);

  await commitAll(machine.repository, 'more');
  const second = await released(machine);
  assert.equal(second.changes, null);
  assert.notEqual(second.release, dirty.release, 'the same files, and yet no commit');
  assert.deepEqual(notes(await said(machine, second.release)), { since: before.trim(), commits: [{ commit: (await git(machine.repository, 'rev-parse', 'HEAD')).trim(), subject: 'more', author: 'Ada' }] });
});

test('several components and a static site are built', async (t) => {
  const machine = await Machine.make(t);
  const { repository } = machine;
  await machine.cairn('init');
  await machine.startUp();
  const start = async (files: Record<string, string>) => {
    for (const name of await readdir(repository)) if (name !== '.git' && name !== 'cairn.trust.json') await rm(join(repository, name), { recursive: true });
    for (const [name, text] of Object.entries(files)) {
      await mkdir(join(repository, name, '..'), { recursive: true });
      await writeFile(join(repository, name), text);
    }
    const init = await machine.cairn('init');
    assert.equal(init.code, 0, init.stderr);
    await commitAll(repository, 'start');
    return init.stdout;
  };

  assert.match(await start({ 'public/index.html': '<h1>hi</h1>', 'public/css/a.css': 'a{}' }), /found +static site, public\/index\.html/);
  const site = await released(machine);
  assert.deepEqual(site.document.components.map(({ kind }) => kind), ['files']);
  assert.deepEqual(await namesIn(machine, site), ['app', 'app/css', 'app/css/a.css', 'app/index.html']);

  const yaml = `application: hello
toolchain: { node: ${process.versions.node} }
stages:
  - { name: app, layer: [server.js] }
  - { name: assets, run: mkdir assets && echo a > assets/a, layer: [assets] }
components:
  web: { kind: web, command: [node, server.js], health: { path: / }, layers: [app] }
  jobs: { kind: worker, command: [node, server.js], layers: [app] }
  assets: { kind: files, routes: [{ path: /assets }], layers: [assets] }
`;
  await start({ 'server.js': server, 'cairn.yaml': yaml });
  const several = await released(machine);
  assert.deepEqual(several.document.components.map(({ name, kind }) => `${name} ${kind}`), ['assets files', 'jobs worker', 'web web']);
  assert.deepEqual(several.document.confirm, { seconds: 10 });
  const layers = await Promise.all(several.document.components.map((one) => layersOf(machine, one.digest)));
  assert.equal(layers[0]?.length, 1, 'files carry no runtime');
  assert.deepEqual(layers[1], layers[2], 'what is the same is one layer');
});

async function layersOf(machine: Machine, digest: Digest): Promise<Digest[]> {
  const response = await fetch(`${machine.url}/v2/hello/manifests/${digest}`, { headers: { accept: 'application/vnd.oci.image.manifest.v1+json' } });
  return ((await response.json()) as { layers: { digest: Digest }[] }).layers.map((layer) => layer.digest);
}

/** What stands in the first layer of the first component. */
async function namesIn(machine: Machine, { document }: Released): Promise<string[]> {
  const [layer] = await layersOf(machine, document.components[0]?.digest as Digest);
  const bytes = Buffer.from(await (await fetch(`${machine.url}/v2/hello/blobs/${layer}`)).arrayBuffer());
  return execFileSync('tar', ['-tzf', '-'], { input: bytes, encoding: 'utf8' }).trim().split('\n').map((name) => name.replace(/\/$/, ''));
}

test('what goes wrong in a release is told with code and fix, and nothing is published', async (t) => {
  const machine = await Machine.make(t);
  const { repository, home } = machine;
  // A name of its own: others may be building a hello at this moment.
  await writeFile(join(repository, 'cairn.yaml'), (await readFile(join(repository, 'cairn.yaml'), 'utf8')).replace('application: hello', 'application: mishaps'));
  await machine.init();
  await machine.startUp();
  const api = await machine.api();
  const good = await readFile(join(repository, 'cairn.yaml'), 'utf8');

  const published = async () => {
    const repositories = await readdir(join(home, 'registry'), { recursive: true });
    return { entries: (await api.info()).checkpoint.size, files: repositories.filter((name) => !name.includes('incoming')).toSorted() };
  };
  const errorOf = (ran: Ran) => (ran.json as { error: { code: string; message: string; fix: string | null; context: { lines?: string[] } } }).error;
  /** Changes the repository, runs the command, puts everything back. */
  const fails = async (name: string, change: () => Promise<unknown>, expected: { code: string; message: RegExp; fix: RegExp; exit: number }, run?: () => Promise<Ran>) =>
    t.test(name, async () => {
      const [head, before] = [await git(repository, 'rev-parse', 'HEAD'), await published()];
      try {
        await change();
        const ran = await (run ?? (() => machine.cairn('release', '--json')))();
        const { code, message, fix } = errorOf(ran);
        assert.deepEqual([code, ran.code], [expected.code, expected.exit], message);
        assert.match(message, expected.message);
        assert.match(fix ?? '', expected.fix);
      } finally {
        await git(repository, 'reset', '--hard', '--quiet', head.trim());
        await git(repository, 'clean', '-fdq');
      }
      assert.deepEqual(await published(), before);
      assert.deepEqual((await readdir('/tmp')).filter((one) => one === 'cairn-build-mishaps'), []);
    });
  const write = (name: string, text: string) => async () => {
    await writeFile(join(repository, name), text);
    await commitAll(repository, name);
  };
  const stage = (run: string) => write('cairn.yaml', good.replace('stages:\n', `stages:\n  - { name: failing, run: ${JSON.stringify(run)} }\n`));

  await fails('an unknown key', write('cairn.yaml', good.replace('stages:', 'stagse:')), { code: 'invalid-configuration', message: /cairn\.yaml:3:1: unknown key "stagse"/, fix: /"stages"/, exit: 2 });
  await fails('a wrong type', write('cairn.yaml', good.replace('GREETING: one', 'GREETING: 1')), { code: 'invalid-configuration', message: /cairn\.yaml:9:13: "GREETING" is the number 1/, fix: /quotes/, exit: 2 });
  await fails('a dirty tree', () => writeFile(join(repository, 'new'), ''), { code: 'dirty-tree', message: /1 file is not .* new$/, fix: /Commit/, exit: 2 });
  await fails('no lockfile', write('package.json', '{ "name": "hello", "dependencies": { "ms": "2.1.3" } }'), { code: 'lockfile-missing', message: /wants 1 packages/, fix: /package-lock/, exit: 2 });
  await fails('a lockfile without a hash', async () => {
    await writeFile(join(repository, 'package-lock.json'), JSON.stringify({ lockfileVersion: 3, packages: { '': {}, 'node_modules/ms': { version: '2.1.3' } } }));
    await write('package.json', '{ "name": "hello", "type": "module", "dependencies": { "ms": "2.1.3" } }')();
  }, { code: 'invalid-configuration', message: /no hash for ms 2\.1\.3/, fix: /npm install/, exit: 2 });
  await fails('a stage that fails', stage('echo one; echo two; exit 3'), { code: 'stage-failed', message: /stage failing ended with 3; nothing was published/, fix: /exit 3/, exit: 6 });
  await t.test('its last lines are shown', async () => {
    await stage('echo one; echo two; exit 3')();
    const { stderr } = await machine.cairn('release');
    assert.match(stderr, /error stage-failed: .*\n {2}\| one\n {2}\| two\n/);
    await git(repository, 'reset', '--hard', '--quiet', 'HEAD~1');
  });
  await fails('a submodule', async () => {
    await git(repository, 'update-index', '--add', '--cacheinfo', `160000,${'1'.repeat(40)},part`);
    await git(repository, 'commit', '--quiet', '-m', 'part');
    await mkdir(join(repository, 'part'));
  }, { code: 'invalid-configuration', message: /submodule: part/, fix: /Vendor/, exit: 2 });
  await fails('another Node than Cairn carries', write('cairn.yaml', good.replace(process.versions.node, '1.2.3')), { code: 'invalid-configuration', message: /Node 1\.2\.3/, fix: /toolchain\.node/, exit: 2 });
  await fails('no Go', write('cairn.yaml', good.replace(/node: [\d.]+/, 'go: 1.26.8').replace('[node, server.js]', '[./server.js]')), { code: 'invalid-configuration', message: /go is not to be found/, fix: /Install Go/, exit: 2 },
    () => runCairn(repository, { ...machine.environment, PATH: '/usr/bin:/bin' }, ['release', '--json']));
  await fails('a wrong passphrase', write('new.txt', ''), { code: 'wrong-passphrase', message: /does not open/, fix: /passphrase/, exit: 2 },
    () => runCairn(repository, { ...machine.environment, CAIRN_PASSPHRASE: 'pebble' }, ['release', '--json']));
  await fails('no key of this name', write('new.txt', ''), { code: 'not-initialized', message: /no key of eve/, fix: /cairn key new eve/, exit: 2 },
    () => runCairn(repository, { ...machine.environment, CAIRN_USER: 'eve' }, ['release', '--json']));

  await fails('Ctrl-C in the middle of a stage', stage('sleep 314'), { code: 'stage-failed', message: /interrupted; nothing was published/, fix: /cairn release/, exit: 6 }, async (): Promise<Ran> => {
    const child = spawn(process.execPath, [join(top, 'bin/cairn.js'), 'release', '--json'], { cwd: repository, env: machine.environment, stdio: ['ignore', 'pipe', 'inherit'] });
    const output = Array.fromAsync(child.stdout as AsyncIterable<Buffer>);
    for (let tries = 0; tries < 100 && sleepers('314') === ''; tries++) await sleep(100);
    child.kill('SIGINT');
    const [code] = (await once(child, 'exit')) as [number];
    assert.equal(sleepers('314'), '');
    return { code, stdout: '', stderr: '', json: JSON.parse((await output).join('')) as unknown };
  });
  const canMount = mountsWork();
  const inSmall = (path: string, megabytes: number) => () =>
    runCairn(repository, machine.environment, ['release', '--json'], { wrapper: ['unshare', '--mount', 'sh', '-c', `mount -t tmpfs -o size=${megabytes}m tmpfs ${path} && exec "$@"`, 'sh'] });
  if (canMount) {
    await fails('a full disk where builds are kept', write('new.txt', ''), { code: 'storage-full', message: /disk is full/, fix: /Free space/, exit: 6 }, inSmall(join(home, 'builds'), 8));
  } else t.diagnostic('a file system cannot be mounted here');

  await t.test('no commit, no git, no cairn.yaml', async () => {
    const empty = join(machine.folder, 'empty');
    await mkdir(empty);
    await chmod(empty, 0o755);
    assert.deepEqual(errorOf(await runCairn(empty, machine.environment, ['release', '--json'])).code, 'not-a-repository');
    assert.equal(errorOf(await runCairn(empty, machine.environment, ['init', '--json'])).code, 'not-a-repository');
    await git(empty, 'init', '--quiet');
    assert.match(errorOf(await runCairn(empty, machine.environment, ['release', '--json'])).message, /no commit yet/);
    await commitAll(empty, 'empty');
    assert.equal(errorOf(await runCairn(empty, machine.environment, ['release', '--json'])).code, 'not-initialized');
    const withoutGit = await runCairn(repository, { ...machine.environment, PATH: '/nonexistent' }, ['release', '--json']);
    assert.deepEqual([errorOf(withoutGit).code, errorOf(withoutGit).fix], ['not-a-repository', 'Install git']);
  });
  await assert.rejects(stat('/tmp/cairn-build-mishaps'), { code: 'ENOENT' });
  assert.equal((await machine.release()).length, 71, `and ${user} releases as before`);
});

function sleepers(seconds: string): string {
  try {
    return execFileSync('pgrep', ['-fx', `sleep ${seconds}`], { encoding: 'utf8' });
  } catch {
    return '';
  }
}

function mountsWork(): boolean {
  try {
    execFileSync('unshare', ['--mount', 'sh', '-c', 'mount -t tmpfs -o size=1m tmpfs /mnt'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}
