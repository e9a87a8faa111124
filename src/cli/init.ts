import { access, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { makeStatement, predicateTypes, signEnvelope, subjectOf, type Statement } from '#attest';
import { noFaults, shortDigest, writeFileDurable, CairnError } from '#core';
import { createHome, createPerson, genesisPolicy, genesisTrust, loadPerson, loadServerKeys, personPublicKey, type Home, type Settings } from '#home';
import { openLedger } from '#ledger';
import { policyDigest } from '#policy';
import { spkiOf, type Signer } from '#sign';
import { trustDigest, type Trust } from '#verify';
import type { Context } from './context.ts';
import { row, run, type CommonFlags } from './output.ts';
import { passphrase, personName } from './session.ts';

const environments = [{ name: 'staging', port: 8081 }, { name: 'production', port: 8080 }];

export async function init(this: Context, flags: CommonFlags): Promise<void> {
  await run(this, flags, async () => {
    const { system } = this;
    const say = (label: string, ...columns: string[]) => (flags.json ? undefined : row(this, label, ...columns));
    await requireRepository(system.directory);
    const since = `${system.clock.now().toISOString().slice(0, 19)}Z`;
    const home = await createHome(system.home, { host: '127.0.0.1', ...ports(system.environment['CAIRN_PORT']), since });
    const name = personName(system);
    const secret = await passphrase(system, `A passphrase for ${name}'s key: `);
    const person = await createPerson(home.paths.people, name, secret);
    const recovery = await createPerson(home.paths.people, 'recovery', secret);
    const trust = await genesis(home, name, await loadPerson(home.paths.people, name, secret), system.clock);
    say('keys', name, person.created ? 'encrypted, outside the repository' : 'found on this machine');
    if (recovery.created) say('recovery', join(home.paths.people, 'recovery.key'), 'move it to a safe place, offline');
    say('policy', shortDigest(trust.policy), 'one person, staging before production');

    const wrote: string[] = [];
    if (await writeNew(join(system.directory, 'cairn.trust.json'), () => `${JSON.stringify({ genesis: trust, rotations: [] }, null, 2)}\n`)) wrote.push('cairn.trust.json');
    if (await writeNew(join(system.directory, 'cairn.yaml'), () => definitionFor(system.directory))) wrote.push('cairn.yaml');
    say('wrote', wrote.length === 0 ? 'nothing, all was there' : wrote.join(', '));
    say('next', 'commit them, then cairn up');
    return { home: home.paths.root, origin: home.settings.origin, policy: trust.policy, trust: trustDigest(trust), person: name, wrote };
  });
}

/** The first entries of the log: the policy and the trust document, signed by the first person. Done once a home. */
async function genesis(home: Home, name: string, signer: Signer, clock: Context['system']['clock']): Promise<Trust> {
  const { paths, settings } = home;
  const saved = await readFile(paths.trust, 'utf8').catch(() => undefined);
  if (saved !== undefined) return JSON.parse(saved) as Trust;
  const names = settings.environments.map((one) => one.name);
  const keys = await loadServerKeys(paths.keys, names);
  const policy = genesisPolicy({ name, key: await personPublicKey(paths.people, name) }, names);
  const trust = genesisTrust(settings, keys, policy, { key: await personPublicKey(paths.people, name), recovery: await personPublicKey(paths.people, 'recovery') });
  const statements: Statement[] = [
    { predicateType: predicateTypes.policy, subject: [subjectOf('policy', policyDigest(policy))], predicate: policy },
    { predicateType: predicateTypes.trust, subject: [subjectOf('trust', trustDigest(trust))], predicate: trust },
  ];
  const ledger = await openLedger({ path: paths.ledger, keys: { origin: settings.origin, log: keys.log, time: keys.time }, record: keys.record, clock, faults: noFaults });
  try {
    // A genesis that was cut off before the file below was written is found in the log, not made twice.
    if ((await ledger.checkpoint()) === undefined) await ledger.commit(statements.map((one) => ({ envelope: signEnvelope(makeStatement(one), signer), key: spkiOf(signer.publicKey).toString('base64') })));
  } finally {
    await ledger.close();
  }
  await writeFileDurable(paths.trust, `${JSON.stringify(trust, null, 2)}\n`);
  return trust;
}

async function requireRepository(directory: string): Promise<void> {
  await access(join(directory, '.git')).catch((cause: unknown) => {
    throw new CairnError('not-a-repository', `${directory} is not the top of a git repository`, { cause, fix: 'git init, or change to the top of the repository' });
  });
}

async function writeNew(path: string, text: () => string | Promise<string>): Promise<boolean> {
  const there = await access(path).then(() => true, () => false);
  if (!there) await writeFileDurable(path, await text());
  return !there;
}

async function definitionFor(directory: string): Promise<string> {
  const text = await readFile(join(directory, 'package.json'), 'utf8').catch((cause: unknown) => {
    throw new CairnError('invalid-configuration', 'there is no package.json here; other applications need a cairn.yaml written by hand', { cause, fix: 'See examples/hello/cairn.yaml' });
  });
  const { name = 'application', scripts } = JSON.parse(text) as { name?: string; scripts?: { start?: string } };
  const command = (scripts?.start ?? 'node server.js').split(' ');
  return `# What Cairn builds and runs.
application: ${name.replace(/^@[^/]*\//, '').toLowerCase().replaceAll(/[^a-z0-9-]/g, '-')}

# Tools of the build and the runtime, by exact version; their hashes are part of the release.
toolchain: { node: 26.10.0 }

# Each stage makes one layer of the paths that it names. Only stages with "network: true" may download.
stages:
  - { name: dependencies, run: npm ci --omit=dev --ignore-scripts --no-audit --no-fund, network: true, layer: [node_modules] }
  - { name: application, layer: [${command.slice(1).join(', ')}, package.json] }

# What runs. PORT and HOST are given to it; it is live when its health path answers.
components:
  web: { kind: web, command: [${command.join(', ')}], health: { path: / }, instances: 1 }
`;
}

/** With CAIRN_PORT, the environments take the ports behind it: two homes on one machine stay apart. */
function ports(wanted: string | undefined): Pick<Settings, 'port' | 'environments'> {
  if (wanted === undefined) return { port: 7070, environments };
  const port = Number(wanted);
  if (!Number.isInteger(port) || port < 1 || port > 65_000) throw new CairnError('usage', `CAIRN_PORT is "${wanted}", which is no port`, { fix: 'Set it to a number from 1 to 65000, or leave it out' });
  return { port, environments: environments.map((one, at) => ({ ...one, port: port + 1 + at })) };
}
