import assert from 'node:assert/strict';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Digest } from '#core';
import { Place } from '../demo/place.ts';
import { install, lock, publish } from './npm.ts';

// An npm registry that nobody here wrote: 321 packages, 65 MB, data of its own. An older version, then a newer one, then back.

const [older, newer] = ['6.8.0', '6.10.4'];

// Without the override, one of its dependencies asks for a tag of another, and a tag pins nothing.
const manifest = (version: string) => ({
  name: 'registry', version: '1.0.0', private: true, dependencies: { verdaccio: version }, overrides: { 'node-fetch': '2.7.0' },
});

const definition = `application: registry
toolchain: { node: ${process.versions.node} }
stages:
  - { name: dependencies, run: npm ci --omit=dev --ignore-scripts --no-audit --no-fund, network: true, layer: [node_modules] }
  - { name: application, layer: [config.yaml, package.json] }
  - { name: test, run: node node_modules/verdaccio/bin/verdaccio --version }
components:
  web:
    kind: web
    command:
      - sh
      - -c
      - VERDACCIO_STORAGE_PATH="$CAIRN_DATA_STORAGE" exec node node_modules/verdaccio/bin/verdaccio --config config.yaml --listen "$HOST:$PORT"
    health: { path: /-/ping }
    data: [storage]
confirm: { seconds: 2 }
`;

const settings = `storage: ./storage
uplinks: {}
packages:
  '@*/*': { access: $all, publish: $all }
  '**': { access: $all, publish: $all }
log: { type: stdout, format: json, level: warn }
`;

test('verdaccio goes to production, gets a newer version, and goes back with what was published', async (t) => {
  const place = await Place.make('registry', async (folder) => {
    await mkdir(folder);
    await lock(folder, manifest(older));
    await writeFile(join(folder, 'cairn.yaml'), definition);
    await writeFile(join(folder, 'config.yaml'), settings);
    await writeFile(join(folder, '.gitignore'), 'node_modules/\n');
  });
  t.after(() => place.remove());

  /** What production is, by its own word and by the gateway's. */
  const served = async () => {
    const response = await fetch(`${place.production}/-/static/ui-options.js`);
    return [/"version":"([\d.]+)"/.exec(await response.text())?.[1], response.headers.get('cairn-release')];
  };
  const release = async (message: string): Promise<Digest> => {
    await place.git('add', '.');
    await place.git('commit', '-qm', message);
    const { result, milliseconds } = await place.cairn<{ release: Digest }>('release');
    t.diagnostic(`released ${message} in ${Math.round(milliseconds)} ms`);
    return result.release;
  };
  const promote = async (digest: Digest) => {
    for (const environment of ['staging', 'production']) await place.cairn('promote', digest, environment);
  };
  const packageOf = async (name: string) => {
    const folder = join(place.folder, name);
    await mkdir(folder);
    await writeFile(join(folder, 'package.json'), JSON.stringify({ name, version: '1.0.0', main: 'index.js' }));
    await writeFile(join(folder, 'index.js'), `module.exports = '${name}';\n`);
    return folder;
  };

  await place.cairn('init');
  await place.up();
  const first = await release(`verdaccio ${older}`);
  await promote(first);
  assert.deepEqual(await served(), [older, first]);
  await publish(await packageOf('published-before'), place.production);

  await lock(place.repository, manifest(newer));
  const second = await release(`verdaccio ${newer}`);
  assert.notEqual(second, first);
  await promote(second);
  assert.deepEqual(await served(), [newer, second]);
  await publish(await packageOf('published-after'), place.production);

  const back = await place.cairn<{ switchedMs: number }>('rollback', 'production', '--reason', 'the older one was better');
  t.diagnostic(`rolled back in ${back.result.switchedMs} ms, ${Math.round(back.milliseconds)} ms from Enter`);
  assert.deepEqual(await served(), [older, first]);

  // Neither what the older one took nor what the newer one took is gone: the data folder is the application's, not a release's.
  const consumer = join(place.folder, 'consumer');
  await mkdir(consumer);
  await writeFile(join(consumer, 'package.json'), '{ "private": true }');
  for (const name of ['published-before', 'published-after']) {
    await install(consumer, name, place.production);
    assert.match(await readFile(join(consumer, 'node_modules', name, 'index.js'), 'utf8'), new RegExp(name));
  }
  const staging = await fetch(`${place.staging}/published-before`);
  assert.equal(staging.status, 404, 'each environment has data of its own');
});
