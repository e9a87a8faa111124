import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { extract } from 'tar-stream';
import { createGunzip } from 'node:zlib';
import type { Digest } from '#core';
import { buildOf, repository } from '../../src/build/fixture.ts';

// A small Go program with a module of the proxy, built twice: real go, real modules, no server.

const application = 'gopher';
const go = version();

function version(): string | undefined {
  try {
    return execFileSync('go', ['env', 'GOVERSION'], { encoding: 'utf8', env: { PATH: process.env['PATH'], HOME: '/nonexistent', GOTOOLCHAIN: 'local' } })
      .trim()
      .replace(/^go/, '');
  } catch {
    return undefined;
  }
}

const files = {
  'go.mod': `module example.com/gopher\n\ngo 1.21\n\nrequire github.com/dustin/go-humanize v1.0.1\n`,
  'go.sum':
    'github.com/dustin/go-humanize v1.0.1 h1:GzkhY7T5VNhEkwH0PVJgjz+fX1rhBrR7pRT3mDkpeCY=\ngithub.com/dustin/go-humanize v1.0.1/go.mod h1:Mu1zIs6XwVuF/gI1OepvI0qD18qycQx+mFykh5fBlto=\n',
  'main.go': 'package main\n\nimport "github.com/dustin/go-humanize"\n\nfunc main() { println(humanize.Comma(Thousand)) }\n\nconst Thousand = 1000\n',
  'main_test.go': 'package main\n\nimport "testing"\n\nfunc TestThousand(t *testing.T) { if Thousand != 1000 { t.Fail() } }\n',
};
const yaml = (wanted = go, network = true) => `application: ${application}
toolchain: { go: ${wanted} }
stages:
  - { name: modules, run: go mod download, network: ${network} }
  - { name: build, run: go build -o bin/gopher ., layer: [bin] }
  - { name: test, run: go test -v ./... }
components: { web: { kind: web, command: [bin/gopher], health: { path: / } } }
`;
const skip = go === undefined && 'Go is not on this machine';

test('a Go program gives the same digest again, carries no runtime, and names its modules by their hashes', { skip }, async () => {
  const folder = await repository({ ...files, 'cairn.yaml': yaml() });
  const first = await buildOf(folder, { application });
  assert.equal((await buildOf(folder, { application })).digest, first.digest);
  const { built, store } = first;
  assert.deepEqual(built.tests, { passed: 1, failed: 0 });
  assert.deepEqual(
    built.toolchain.map(({ name, version: of, platform }) => [name, of, platform]),
    [['go', go, 'linux/amd64']],
  );
  assert.deepEqual(
    built.locked.packages.map(({ purl, digest }) => [purl, Object.keys(digest)]),
    [['pkg:golang/github.com/dustin/go-humanize@v1.0.1', ['dirHash1']]],
  );
  assert.ok(built.fetched.has('pkg:golang/github.com/dustin/go-humanize@v1.0.1'));

  const manifest = JSON.parse((await store.read(first.digest as Digest)).toString()) as { layers: { digest: Digest }[] };
  assert.equal(manifest.layers.length, 1);
  const names: string[] = [];
  const unpacked = (await store.stream(manifest.layers[0]?.digest as Digest)).pipe(createGunzip()).pipe(extract());
  for await (const entry of unpacked) {
    names.push(entry.header.name);
    for await (const chunk of entry) assert.ok(chunk);
  }
  assert.deepEqual(names, ['app/', 'app/bin/', 'app/bin/gopher']);
});

test('a stage without network has no proxy to ask, and another version than declared is refused', { skip }, async () => {
  await assert.rejects(
    buildOf(await repository({ ...files, 'cairn.yaml': yaml(go, false) }), { application }),
    (error: { code: string; context: { lines: string[] } }) => {
      assert.equal(error.code, 'stage-failed');
      assert.match(error.context.lines.join('\n'), /GOPROXY=off/);
      return true;
    },
  );
  await assert.rejects(buildOf(await repository({ ...files, 'cairn.yaml': yaml('1.2.3') }), { application }), {
    code: 'invalid-configuration',
    message: new RegExp(`asks for Go 1\\.2\\.3, .* is ${go}`),
  });
});
