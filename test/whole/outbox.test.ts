import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { bundleMediaType, parseBundle, predicateTypes, type Envelope } from '#attest';
import { registryClient } from '#oci';
import { Machine, top } from '../support/machine.ts';

const passed = join(top, 'test/fixtures/reports/node-passed.xml');
interface Said {
  readonly logIndex: number | null;
  readonly statement: string;
}
const queuedIn = async (machine: Machine) => {
  const folder = join(machine.home, 'outbox');
  const names = (await readdir(folder).catch(() => [])).filter((name) => name.endsWith('.json')).toSorted();
  return Promise.all(names.map(async (name) => (JSON.parse(await readFile(join(folder, name), 'utf8')) as { envelope: Envelope }).envelope));
};

test('log down: the statement is queued, the promotion waits, the proof is attached later without signing again', { timeout: 180_000 }, async (t) => {
  const machine = await Machine.make(t);
  await machine.init();
  await machine.startUp();
  const release = await machine.release();
  await machine.stop();

  const approved = await machine.cairn('approve', release, 'production', '--json');
  assert.equal(approved.code, 0, approved.stdout + approved.stderr);
  assert.equal((approved.json as Said).logIndex, null);
  const attested = await machine.cairn('attest', release, passed);
  assert.equal(attested.code, 0, attested.stdout + attested.stderr);
  assert.match(attested.stdout, /2 passed.*queued: the log is away/);
  const kept = await queuedIn(machine);
  assert.equal(kept.length, 2);

  // No key is at hand any more: what is sent was signed.
  const promoting = machine.cairn('promote', release, 'staging');
  const done = promoting.then(() => true);
  assert.equal(await Promise.race([done, new Promise((resolve) => setTimeout(() => resolve(false), 1500))]), false, 'it waits');
  await machine.startUp();
  const promoted = await promoting;
  assert.equal(promoted.code, 0, promoted.stdout + promoted.stderr);
  assert.match(promoted.stdout, /waiting +for the log to take 2 signed statements/);
  assert.deepEqual(await queuedIn(machine), []);

  const api = await machine.api();
  const logged = [...(await api.about(release, predicateTypes.approval)), ...(await api.about(release, predicateTypes.tests))].map(({ bundle }) => bundle.dsseEnvelope);
  for (const one of kept) assert.ok(logged.some(({ payload, signatures }) => payload === one.payload && signatures[0].sig === one.signatures[0].sig), 'the same bytes, the same signature');
  const registry = registryClient(machine.url, 'hello');
  const attached = await Promise.all((await registry.referrers(release)).filter(({ artifactType }) => artifactType === bundleMediaType).map(async ({ digest }) => {
    const { layers } = JSON.parse((await registry.manifest(digest)).bytes.toString()) as { layers: { digest: `sha256:${string}` }[] };
    return parseBundle(await registry.blob(layers[0]?.digest ?? 'sha256:')).dsseEnvelope.signatures[0].sig;
  }));
  for (const one of kept) assert.ok(attached.includes(one.signatures[0].sig), 'with its proof, beside the release');
  assert.equal((await machine.cairn('verify', release)).code, 0);
});

test('cairn up sends what waits, and what the log refuses for good is kept and told', { timeout: 120_000 }, async (t) => {
  const machine = await Machine.make(t);
  await machine.init();
  await machine.startUp();
  const release = await machine.release();
  await machine.stop();
  assert.equal((await machine.cairn('approve', release, 'production')).code, 0);
  // A key that the policy does not know: nobody notices before the log is asked.
  await machine.cairn('key', 'new', 'eve', '--json');
  const eve = { ...machine.environment, CAIRN_USER: 'eve' };
  const ran = await promisify(execFile)(process.execPath, [join(top, 'bin/cairn.js'), 'approve', release, 'production', '--json'], { cwd: machine.repository, env: eve });
  assert.equal((JSON.parse(ran.stdout) as Said).logIndex, null);
  assert.equal((await queuedIn(machine)).length, 2);
  await machine.startUp();
  for (let tries = 0; (await queuedIn(machine)).length > 0; tries++) {
    assert.ok(tries < 50, 'they are gone within seconds');
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  assert.equal((await (await machine.api()).about(release, predicateTypes.approval)).length, 1);
  assert.equal((await readdir(join(machine.home, 'outbox'))).filter((name) => name.endsWith('.refused')).length, 1);
});
