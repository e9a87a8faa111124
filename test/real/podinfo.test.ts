import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { cp, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import type { Digest } from '#core';
import { Place } from '../demo/place.ts';

// A Go service that nobody here wrote, as its module in the Go proxy: a static binary, no Node in it.

const execute = promisify(execFile);
const wanted = 'github.com/stefanprodan/podinfo@v1.8.1-0.20250910200901-e86405a8674e'; // its 6.9.2
const sum = 'h1:ikpMMm5HbQT/1DehrPM+Lpwk3WAw/1Hg540eR+jsXus=';
const version = '6.9.2';

const go = await execute('go', ['env', 'GOVERSION']).then(({ stdout }) => stdout.trim().replace(/^go/, ''), () => undefined);

const definition = `application: podinfo
toolchain: { go: ${go} }
stages:
  - { name: modules, run: go mod download, network: true }
  - { name: build, run: 'go build -ldflags="-s -w" -o bin/podinfo ./cmd/podinfo', layer: [bin] }
  - { name: application, layer: [ui] }
  - { name: test, run: go vet ./pkg/version ./pkg/signals }
components:
  web:
    kind: web
    command: [sh, -c, 'exec bin/podinfo --host="$HOST" --port="$PORT"']
    health: { path: /healthz }
configuration:
  PODINFO_UI_COLOR: '#34577c'
confirm: { seconds: 2 }
`;

test('podinfo goes to production, gets another version, and goes back', { skip: go === undefined && 'Go is not on this machine' }, async (t) => {
  const { stdout } = await execute('go', ['mod', 'download', '-json', wanted]);
  const module = JSON.parse(stdout) as { Dir: string; Sum: string };
  assert.equal(module.Sum, sum, 'the proxy gave another podinfo');
  const place = await Place.make('podinfo', async (folder) => {
    await cp(module.Dir, folder, { recursive: true });
    // The module cache is read-only, and copies are too.
    await execute('chmod', ['-R', 'u+w', folder]);
    await writeFile(join(folder, 'cairn.yaml'), definition);
  });
  t.after(() => place.remove());

  const served = async (environment: string) => {
    const response = await fetch(environment, { headers: { 'user-agent': 'curl/8' } });
    const { version: own, color } = (await response.json()) as { version: string; color: string };
    return [own, color, response.headers.get('cairn-release')];
  };
  const release = async (message: string): Promise<Digest> => {
    await place.git('add', '-f', '.');
    await place.git('commit', '-qm', message);
    const { result, milliseconds } = await place.cairn<{ release: Digest }>('release');
    t.diagnostic(`released ${message} in ${Math.round(milliseconds)} ms`);
    return result.release;
  };
  const promote = async (digest: Digest) => {
    for (const environment of ['staging', 'production']) await place.cairn('promote', digest, environment);
  };

  await place.cairn('init');
  await place.up();
  const first = await release(`podinfo ${version}`);
  await promote(first);
  assert.deepEqual(await served(place.production), [version, '#34577c', first]);

  // The proxy keeps one version of it only: the second is ours, by its own version file and another colour.
  await place.edit('pkg/version/version.go', (text) => text.replace(version, `${version}-acme`));
  await place.edit('cairn.yaml', (text) => text.replace('#34577c', '#7a4a32'));
  const second = await release(`podinfo ${version}-acme`);
  await promote(second);
  assert.deepEqual(await served(place.production), [`${version}-acme`, '#7a4a32', second]);

  const back = await place.cairn<{ switchedMs: number }>('rollback', 'production', '--reason', 'the other colour');
  t.diagnostic(`rolled back in ${back.result.switchedMs} ms, ${Math.round(back.milliseconds)} ms from Enter`);
  assert.deepEqual(await served(place.production), [version, '#34577c', first]);
  assert.deepEqual(await served(place.staging), [`${version}-acme`, '#7a4a32', second], 'staging stays where it was');
});
