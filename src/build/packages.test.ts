import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { goModules } from './go-modules.ts';
import { npmLock } from './npm-lock.ts';
import { TestCounter } from './test-counts.ts';

const scratch = await mkdtemp('/tmp/cairn-packages-');
after(() => rm(scratch, { recursive: true, force: true }));

async function folder(files: Record<string, unknown>): Promise<string> {
  const made = await mkdtemp(join(scratch, 'r-'));
  for (const [name, content] of Object.entries(files)) {
    await mkdir(join(made, name, '..'), { recursive: true });
    await writeFile(join(made, name), typeof content === 'string' ? content : JSON.stringify(content));
  }
  return made;
}

const sha512 = `sha512-${Buffer.alloc(64, 7).toString('base64')}`;
const locked = (more: object = {}) => ({
  lockfileVersion: 3,
  packages: {
    '': { name: 'shop', dependencies: { a: '1', renamed: 'npm:real@2' }, devDependencies: { tool: '1' } },
    'node_modules/a': {
      version: '1.0.0',
      integrity: `sha1-${Buffer.alloc(20).toString('base64')} ${sha512}`,
      license: 'MIT',
      dependencies: { b: '1' },
      optionalDependencies: { '@os/darwin': '1' },
    },
    'node_modules/a/node_modules/b': { version: '1.1.0', integrity: sha512, license: '(MIT OR Apache-2.0)' },
    'node_modules/b': { version: '2.0.0', integrity: sha512, dev: true },
    'node_modules/renamed': { name: '@scope/real', version: '2.0.0', integrity: sha512 },
    'node_modules/tool': { version: '1.0.0', integrity: sha512, dev: true, dependencies: { b: '2', bundled: '1' } },
    'node_modules/bundled': { version: '1.0.0', inBundle: true, dev: true },
    'node_modules/@os/darwin': { version: '1.0.0', optional: true, os: 'darwin' },
    'node_modules/@os/linux': { version: '1.0.0', integrity: sha512, optional: true, dev: true, os: ['!win32'], cpu: ['x64'] },
    'packages/own': { version: '1.0.0', dependencies: { a: '1' } },
    'node_modules/own': { resolved: 'packages/own', link: true },
    ...more,
  },
});

test('the lockfile gives each package once, with its strongest hash, its licence and what it needs, as Node would find it', async () => {
  const { packages, direct } = await npmLock(await folder({ 'package.json': { dependencies: { a: '1' } }, 'package-lock.json': locked() }), 'linux/amd64');
  assert.deepEqual(
    packages.map(({ purl, runtime }) => [purl, runtime]),
    [
      ['pkg:npm/%40os/linux@1.0.0', false],
      ['pkg:npm/%40scope/real@2.0.0', true],
      ['pkg:npm/a@1.0.0', true],
      ['pkg:npm/b@1.1.0', true],
      ['pkg:npm/b@2.0.0', false],
      ['pkg:npm/bundled@1.0.0', false],
      ['pkg:npm/tool@1.0.0', false],
    ],
  );
  const a = packages.find(({ name }) => name === 'a');
  assert.deepEqual([a?.digest, a?.license, a?.dependsOn], [{ sha512: Buffer.alloc(64, 7).toString('hex') }, 'MIT', ['pkg:npm/b@1.1.0']]);
  assert.deepEqual(packages.find(({ name }) => name === 'tool')?.dependsOn, ['pkg:npm/b@2.0.0', 'pkg:npm/bundled@1.0.0']);
  assert.deepEqual(direct, ['pkg:npm/%40scope/real@2.0.0', 'pkg:npm/a@1.0.0', 'pkg:npm/tool@1.0.0']);
});

test('dependencies without a lockfile, without a hash or in a lockfile of the first version are refused, each by its name', async () => {
  const manifest = { dependencies: { a: '1' } };
  await assert.rejects(npmLock(await folder({ 'package.json': manifest }), 'linux/amd64'), { code: 'lockfile-missing', fix: /package-lock/ });
  assert.deepEqual((await npmLock(await folder({ 'package.json': { name: 'alone' } }), 'linux/amd64')).packages, []);
  const bare = locked({ 'node_modules/bare': { version: '3.0.0', resolved: 'https://registry.example/bare.tgz' } });
  await assert.rejects(npmLock(await folder({ 'package.json': manifest, 'package-lock.json': bare }), 'linux/amd64'), {
    code: 'invalid-configuration',
    message: /bare 3\.0\.0/,
  });
  const local = locked({
    'node_modules/local': { version: '3.0.0', resolved: 'file:local.tgz' },
    'node_modules/git': { version: '1.0.0', resolved: `git+ssh://git@example.com/x.git#${'a'.repeat(40)}` },
  });
  const { packages } = await npmLock(await folder({ 'package.json': manifest, 'package-lock.json': local }), 'linux/amd64');
  assert.deepEqual(packages.find(({ name }) => name === 'git')?.digest, { gitCommit: 'a'.repeat(40) });
  await assert.rejects(npmLock(await folder({ 'package.json': manifest, 'package-lock.json': { lockfileVersion: 1, dependencies: {} } }), 'linux/amd64'), {
    code: 'invalid-configuration',
    message: /first version/,
  });
  await assert.rejects(npmLock(await folder({ 'package.json': manifest, 'package-lock.json': '{' }), 'linux/amd64'), {
    code: 'invalid-configuration',
    message: /not JSON/,
  });
});

const goMod = `module example.com/shop

go 1.26

require github.com/Acme/One v1.2.3
require (
	example.com/two v0.1.0 // indirect
	example.com/three v2.0.0+incompatible
	example.com/here v1.0.0
)

replace example.com/three v2.0.0+incompatible => example.com/fork v2.0.1
replace example.com/here => ./here
`;
const h1 = (byte: number) => `h1:${Buffer.alloc(32, byte).toString('base64')}`;
const goSum = `github.com/Acme/One v1.2.3 ${h1(1)}\ngithub.com/Acme/One v1.2.3/go.mod ${h1(9)}\nexample.com/two v0.1.0 ${h1(2)}\nexample.com/fork v2.0.1 ${h1(3)}\n`;

test('modules of go.mod come with the hashes of go.sum, as they are replaced; folders of the commit are none', async () => {
  const { packages, direct } = await goModules(await folder({ 'go.mod': goMod, 'go.sum': goSum }));
  assert.deepEqual(
    packages.map(({ purl, digest }) => [purl, digest['dirHash1']?.slice(0, 2)]),
    [
      ['pkg:golang/example.com/fork@v2.0.1', '03'],
      ['pkg:golang/example.com/two@v0.1.0', '02'],
      ['pkg:golang/github.com/acme/one@v1.2.3', '01'],
    ],
  );
  assert.deepEqual(direct, ['pkg:golang/github.com/acme/one@v1.2.3']);
  await assert.rejects(goModules(await folder({ 'go.mod': goMod })), { code: 'lockfile-missing', fix: /go mod tidy/ });
  await assert.rejects(goModules(await folder({ 'go.mod': goMod, 'go.sum': goSum.replace('example.com/two v0.1.0 ', 'example.com/two v0.2.0 ') })), {
    code: 'invalid-configuration',
    message: /example\.com\/two v0\.1\.0/,
  });
  assert.equal((await goModules(await folder({ 'go.mod': goMod, 'vendor/modules.txt': '' }))).packages.length, 3);
  assert.deepEqual((await goModules(await folder({ 'go.mod': 'module example.com/alone\n\ngo 1.26\n' }))).packages, []);
});

for (const [runner, lines, expected] of [
  ['node, for people', ['✔ adds (1ms)', 'ℹ tests 3', 'ℹ pass 2', 'ℹ fail 1'], [2, 1]],
  ['node, as TAP', ['ok 1 - adds', '# tests 41', '# pass 41', '# fail 0'], [41, 0]],
  ['plain TAP', ['TAP version 13', 'ok 1 - adds', '    ok 1 - a part', 'not ok 2 - divides', 'ok 3 # SKIP no'], [1, 1]],
  ['mocha', ['  41 passing (2s)', '  1 pending', '  2 failing'], [41, 2]],
  ['jest', ['Test Suites: 1 passed, 1 total', '\u001b[1mTests:       \u001b[22m1 failed, 41 passed, 42 total'], [41, 1]],
  ['vitest', [' Test Files  3 passed (3)', '      Tests  41 passed (41)'], [41, 0]],
  ['go test -v', ['=== RUN   TestA', '--- PASS: TestA (0.00s)', '    --- PASS: TestA/part (0.00s)', '--- FAIL: TestB (0.00s)', 'FAIL'], [1, 1]],
  ['go test', ['ok  \texample.com/shop\t0.012s'], [null, null]],
  ['pytest', ['===== 2 failed, 5 passed in 0.12s ====='], [5, 2]],
  ['cargo, two crates', ['test result: ok. 5 passed; 0 failed; 0 ignored', 'test result: ok. 2 passed; 0 failed; 0 ignored'], [7, 0]],
  ['something else', ['all good'], [null, null]],
] as const) {
  test(`tests are counted from what is printed by ${runner}`, () => {
    const counter = new TestCounter();
    for (const line of lines) counter.line(line);
    assert.deepEqual(Object.values(counter.counts()), expected);
  });
}
