import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { test } from 'node:test';

const root = join(import.meta.dirname, '..');

/** What each room may import by door. A room not named here is a room nobody thought about. */
const allowed: Readonly<Record<string, readonly string[]>> = {
  core: [],
  oci: ['core'],
  isolation: ['core'],
  build: ['core', 'isolation', 'oci'],
  sign: ['core'],
  attest: ['core', 'oci', 'sign'],
  log: ['core', 'sign'],
  witness: ['core', 'log', 'sign'],
  verify: ['core', 'attest', 'log', 'sign'],
  keyless: ['attest', 'core', 'sign'],
  policy: ['core', 'attest', 'log'],
  release: ['core', 'attest', 'oci', 'policy', 'sign'],
  ledger: ['core', 'attest', 'log', 'policy', 'release', 'sign'],
  targets: ['core', 'isolation'],
  gateway: ['core'],
  runner: ['core', 'gateway', 'isolation', 'targets'],
  diff: ['core', 'attest', 'oci', 'policy', 'release'],
  home: ['attest', 'core', 'policy', 'sign', 'verify'],
  server: ['core', 'attest', 'diff', 'ledger', 'log', 'oci', 'policy', 'release', 'sign', 'targets', 'verify'],
  cli: ['attest', 'build', 'core', 'diff', 'home', 'keyless', 'ledger', 'log', 'oci', 'policy', 'release', 'runner', 'server', 'sign', 'targets', 'verify', 'witness'],
};

const sources = globSync('src/**/*.ts', { cwd: root });

test('rooms import each other by door only, and only downwards', () => {
  for (const file of sources) {
    const room = file.split('/')[1] ?? '';
    if (room === 'main') continue;
    assert.ok(room in allowed, `${file} is in a room without a place in the order`);
    const text = readFileSync(join(root, file), 'utf8');
    for (const [, target = ''] of text.matchAll(/(?:from|import\()\s*'([^']+)'/g)) {
      if (target.startsWith('.')) assert.equal(dirname(target), '.', `${file} reaches into ${target}`);
      if (!target.startsWith('#') || target === `#${room}`) continue;
      assert.ok(allowed[room]?.includes(target.slice(1)) === true || file.endsWith('.test.ts') || basename(file) === 'fixture.ts', `${file} may not import ${target}`);
    }
  }
});

test('clock, chance and environment are read in main only', () => {
  for (const file of sources.filter((one) => !one.startsWith('src/main/') && !one.endsWith('.test.ts') && basename(one) !== 'fixture.ts')) {
    const text = readFileSync(join(root, file), 'utf8');
    assert.doesNotMatch(text, /new Date\(\)|Date\.now\(\)|Math\.random\(\)|process\.env/, file);
  }
});

test('lockfiles name no registry host', () => {
  for (const file of ['package-lock.json', 'examples/hello/package-lock.json', 'examples/shop/package-lock.json']) {
    assert.doesNotMatch(readFileSync(join(root, file), 'utf8'), /"resolved"|https?:\/\/(?!(github\.com|opencollective\.com|tidelift\.com|www\.patreon\.com|feross\.org|paulmillr\.com|eslint\.org|dotenvx\.com)\b)[a-z0-9.-]+\/[^"]*\.tgz/, file);
  }
});
