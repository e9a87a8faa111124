import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { parse, stringify } from 'yaml';
import { makeStatement, predicateTypes, signEnvelope, subjectOf, type Envelope } from '#attest';
import type { Digest } from '#core';
import { homePaths, loadServerKeys } from '#home';
import { policyDigest, type Policy } from '#policy';
import { spkiOf } from '#sign';
import { commitAll, Machine, type Ran } from '../support/machine.ts';
import { Colleague } from '../support/people.ts';

interface Signed { readonly digest: Digest; readonly state: string; readonly version: number; readonly open: readonly { readonly role: string }[] }
interface Failure { readonly error: { readonly code: string; readonly message: string; readonly context: { readonly rules?: readonly { readonly rule: string; readonly passed: boolean; readonly nearest: string | null; readonly fix: string | null }[]; readonly reason?: string } } }
type Edited = { quorum: unknown; people: { name: string; roles: string[] }[]; environments: { name: string; rules: object[] }[] };

const good = <T>(ran: Ran): T => {
  assert.equal(ran.code, 0, ran.stdout + ran.stderr);
  return ran.json as T;
};
const failed = ({ code, json }: Ran, exit: number): Failure['error'] => {
  assert.equal(code, exit, JSON.stringify(json));
  return (json as Failure).error;
};

/** One machine, since making it takes longest: each step stands on the one before. */
test('three people govern a policy, and nobody changes it alone', { timeout: 300_000 }, async (t) => {
  const machine = await Machine.make(t);
  const [sue, rex] = [await Colleague.make(machine, 'sue'), await Colleague.make(machine, 'rex')];
  good(await machine.cairn('init', '--json', '--person', `sue=security@${sue.publicKey}`, '--person', `rex=release@${rex.publicKey}`));
  await commitAll(machine.repository, 'init');
  await machine.startUp();
  for (const one of [sue, rex]) await one.join();
  const file = join(machine.folder, 'policy.yaml');
  const edit = async (change: (policy: Edited) => void) => {
    const policy = parse((await machine.cairn('policy', 'show', '--yaml')).stdout) as Edited;
    change(policy);
    await writeFile(file, stringify(policy));
  };

  await t.test('a file that could not be met is not proposed, and says what is wrong', async () => {
    await edit((policy) => { policy.quorum = [{ role: 'security', threshold: 3 }]; });
    assert.equal(failed(await machine.cairn('policy', 'check', file, '--json'), 4).code, 'invalid-policy');
    assert.equal(failed(await machine.cairn('policy', 'propose', file, '--json'), 4).code, 'invalid-policy');
    assert.match((await machine.cairn('policy', 'check', file)).stderr, /no set of people can meet it/);
  });

  await t.test('roles are parted and a quorum of three is asked for, by the two who release', async () => {
    await edit((policy) => {
      policy.people.find(({ name }) => name === 'ada')!.roles = ['builder', 'developer', 'release'];
      policy.quorum = [{ role: 'developer', threshold: 1 }, { role: 'security', threshold: 1 }, { role: 'release', threshold: 1 }];
    });
    const proposed = good<Signed>(await machine.cairn('policy', 'propose', file, '--json'));
    assert.deepEqual([proposed.state, proposed.open.map(({ role }) => role)], ['open', ['release']]);
    assert.equal(failed(await sue.cairn('policy', 'sign', proposed.digest, '--json'), 4).code, 'unauthorized');
    assert.equal(good<Signed>(await rex.cairn('policy', 'sign', proposed.digest.slice(7, 19), '--json')).state, 'in-force');
  });

  let gate: Signed;
  await t.test('a gate is proposed: two signatures are not enough, nor is the server, nor one person again', async () => {
    await edit((policy) => {
      policy.environments.find(({ name }) => name === 'production')!.rules.push({ kind: 'cel', name: 'reviewed', expression: "approvals.exists(a, 'security' in a.roles)", fix: 'Ask security to look: cairn approve DIGEST production' });
    });
    assert.equal(good<{ compared: boolean }>(await sue.cairn('policy', 'check', file, '--json')).compared, true);
    gate = good<Signed>(await machine.cairn('policy', 'propose', file, '--json'));
    assert.deepEqual([gate.version, gate.state], [3, 'open']);
    assert.equal(good<Signed>(await sue.cairn('policy', 'sign', gate.digest, '--json')).state, 'open');
    assert.equal(good<Signed>(await sue.cairn('policy', 'sign', gate.digest, '--json')).open.length, 1);
    const api = await machine.api();
    const { proposals } = await api.policies();
    const policy = proposals.find(({ digest }) => digest === gate.digest)?.policy as Policy;
    const keys = await loadServerKeys(homePaths(machine.home).keys, ['staging', 'production']);
    const envelope: Envelope = signEnvelope(makeStatement({ predicateType: predicateTypes.policy, subject: [subjectOf('policy', policyDigest(policy))], predicate: policy }), keys.record);
    await assert.rejects(api.signPolicy({ envelope, key: spkiOf(keys.record.publicKey).toString('base64') }), { code: 'unauthorized' });
    assert.match((await machine.cairn('policy', 'list')).stdout, /needs release \(rex\)/);
  });

  let release: Digest;
  await t.test('with the third it is in force: a release is refused by it, with what mends it, and let in once that is brought', async () => {
    release = await machine.release();
    good(await machine.cairn('promote', release, 'staging', '--json'));
    good(await rex.cairn('approve', release, 'production', '--json'));
    assert.equal(good<Signed>(await rex.cairn('policy', 'sign', gate.digest, '--json')).state, 'in-force');
    const { code, context } = failed(await machine.cairn('promote', release, 'production', '--json'), 4);
    const rule = context.rules?.find((one) => one.rule === 'reviewed');
    assert.deepEqual([code, rule?.passed, rule?.fix], ['refused', false, 'Ask security to look: cairn approve DIGEST production']);
    assert.match(rule?.nearest ?? '', /none of 1 in approvals with 'security' in a.roles: .*rex/);
    good(await sue.cairn('approve', release, 'production', '--json'));
    good(await machine.cairn('promote', release, 'production', '--json'));
  });

  await t.test('the verdict pins the policy, clients follow it from the trust file, and the audit holds', async () => {
    const api = await machine.api();
    const [verdict] = (await api.about(release, predicateTypes.verdict)).slice(-1);
    const { policy } = (JSON.parse(Buffer.from(verdict?.bundle.dsseEnvelope.payload ?? '', 'base64').toString('utf8')) as { predicate: { policy: { digest: { sha256: string } } } }).predicate;
    assert.equal(`sha256:${policy.digest.sha256}`, gate.digest);
    good(await sue.cairn('verify', release, '--json'));
    good(await machine.cairn('audit', '--json'));
    // Versions of several signatures go with what they decided.
    const capsule = join(machine.folder, 'release.capsule');
    good(await machine.cairn('audit', '--capsule', capsule, release, '--json'));
    const { policies } = good<{ policies: { version: number }[] }>(await machine.cairn('verify', '--capsule', capsule, '--json'));
    assert.deepEqual(policies.map(({ version }) => version), [1, 2, 3]);
    assert.deepEqual(good<{ versions: { version: number }[] }>(await rex.cairn('policy', 'list', '--json')).versions.map(({ version }) => version), [1, 2, 3]);
  });

  await t.test('replayed by the policies of their time nothing changes; by another it says what would, and by which rule', async () => {
    const same = good<{ decisions: number; changed: unknown[]; lost: unknown[] }>(await machine.cairn('policy', 'replay', '--since', '1d', '--json'));
    assert.deepEqual([same.lost, same.decisions > 2], [[], true]);
    await edit((policy) => { policy.environments[0]?.rules.push({ kind: 'cel', name: 'impossible', expression: 'release.commit == "x"' }); });
    const other = good<{ changed: { environment: string; would: string }[]; byRule: { rule: string; refuses: number }[] }>(await machine.cairn('policy', 'replay', '--file', file, '--json'));
    assert.deepEqual(other.byRule.find(({ rule }) => rule === 'impossible'), { rule: 'impossible', refuses: 1, admits: 0 });
    assert.ok(other.changed.some(({ environment, would }) => environment === 'staging' && would === 'refused'));
  });

  await t.test('a genesis policy swapped by the server is refused, and so is a trust file that names another', async () => {
    const path = join(machine.repository, 'cairn.trust.json');
    const text = await readFile(path, 'utf8');
    const trust = JSON.parse(text) as { genesis: { policy: Digest } };
    await writeFile(path, JSON.stringify({ ...trust, genesis: { ...trust.genesis, policy: gate.digest } }));
    const fresh = await Colleague.make(machine, 'eve');
    await fresh.join();
    assert.equal(failed(await fresh.cairn('verify', release, '--json'), 4).context.reason, 'genesis-policy');
    await writeFile(path, text);
    good(await sue.cairn('verify', release, '--json'));
  });
});
