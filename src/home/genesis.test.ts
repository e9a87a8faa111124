import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { canonicalJson } from '#core';
import { createPerson, genesisPolicy, listPeople, loadPerson, loadServerKeys, personPublicKey, readPublicKey } from '#home';
import { parsePolicy, type Person } from '#policy';
import { generateSigner, publicKeyPem, spkiOf } from '#sign';
import { createServerKeys } from './server-keys.ts';

const scratch = await mkdtemp('/tmp/cairn-home-');
after(() => rm(scratch, { recursive: true, force: true }));

const person = (name: string, ...roles: Person['roles']): Person => ({ name, roles, keys: [spkiOf(generateSigner('ecdsa').publicKey).toString('base64')] });
const rulesOf = (policy: ReturnType<typeof genesisPolicy>) =>
  Object.fromEntries(
    policy.environments.map(({ name, rules }) => [
      name,
      rules.map((rule) =>
        'environment' in rule ? `${rule.kind} ${rule.environment}` : 'threshold' in rule && 'role' in rule ? `${rule.kind} ${rule.role} ${rule.threshold}` : rule.kind,
      ),
    ]),
  );
const first = { environments: ['staging', 'production'], tests: true, soakMinutes: 0 };

test('the first policy lets one person release alone, and asks for two where two can', () => {
  const alone = genesisPolicy({ ...first, people: [person('ada', 'builder', 'developer', 'security', 'release')] });
  assert.deepEqual(rulesOf(alone), {
    staging: ['provenance', 'sbom'],
    production: ['provenance', 'sbom', 'tests', 'clean', 'confirmed-in staging', 'approvals release 1'],
  });
  assert.deepEqual(
    alone.environments.flatMap(({ rules }) => rules.filter((rule) => rule.blocksRollback).map(({ kind }) => kind)),
    ['provenance', 'provenance'],
  );
  const two = genesisPolicy({
    ...first,
    tests: false,
    soakMinutes: 10,
    people: [person('ada', 'builder', 'release'), person('bob', 'release'), person('eve', 'security')],
  });
  assert.deepEqual(rulesOf(two)['production'], ['provenance', 'sbom', 'clean', 'confirmed-in staging', 'soak staging', 'approvals release 2']);
  assert.deepEqual(two.quorum, [{ role: 'release', threshold: 2 }]);
  for (const policy of [alone, two]) assert.deepEqual(parsePolicy(canonicalJson(policy)), policy);
});

test("a person's key is never written over, opens with its passphrase alone, and is listed by name", async () => {
  const folder = join(scratch, 'people');
  assert.deepEqual(await createPerson(folder, 'ada', 'stone'), { created: true });
  const before = await readFile(join(folder, 'ada.key'), 'utf8');
  assert.deepEqual(await createPerson(folder, 'ada', 'pebble'), { created: false });
  assert.equal(await readFile(join(folder, 'ada.key'), 'utf8'), before);
  assert.equal((await stat(join(folder, 'ada.key'))).mode & 0o777, 0o600);
  assert.equal(spkiOf((await loadPerson(folder, 'ada', 'stone')).publicKey).toString('base64'), await personPublicKey(folder, 'ada'));
  await assert.rejects(loadPerson(folder, 'ada', 'pebble'), { code: 'wrong-passphrase' });
  await assert.rejects(loadPerson(folder, 'eve', 'stone'), { code: 'not-initialized', fix: /cairn key new eve/ });
  assert.deepEqual(
    (await listPeople(folder)).map(({ name }) => name),
    ['ada'],
  );
});

test('only public keys of the kind that signs are taken into a policy', async () => {
  const file = async (text: string) => {
    await writeFile(join(scratch, 'given.pub'), text);
    return readPublicKey(join(scratch, 'given.pub'));
  };
  const signer = generateSigner('ecdsa');
  assert.equal(await file(publicKeyPem(signer.publicKey)), spkiOf(signer.publicKey).toString('base64'));
  await assert.rejects(file(publicKeyPem(generateSigner('ed25519').publicKey)), { code: 'invalid-configuration', message: /P-256/ });
  await assert.rejects(file(signer.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()), {
    code: 'invalid-configuration',
    message: /no public key/,
  });
  await assert.rejects(readPublicKey(join(scratch, 'absent.pub')), { code: 'invalid-configuration' });
});

test("the server's keys open together in little more than one derivation", async (t) => {
  const folder = await mkdtemp(join(scratch, 'keys-'));
  await createServerKeys(folder, ['staging', 'production']);
  const started = performance.now();
  const keys = await loadServerKeys(folder, ['staging', 'production']);
  t.diagnostic(`${Math.round(performance.now() - started)} ms`);
  assert.equal(keys.log.kind, 'ed25519');
  assert.notEqual(keys.admit('staging').hint, keys.admit('production').hint);
  assert.throws(() => keys.admit('elsewhere'), TypeError);
});
