import { access, readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { makeStatement, predicateTypes, signEnvelope, subjectOf, type Statement } from '#attest';
import { parseDefinition } from '#build';
import { CairnError, exists, noFaults, writeFileDurable } from '#core';
import {
  allRoles,
  createHome,
  createPerson,
  genesisPolicy,
  genesisTrust,
  loadPerson,
  loadServerKeys,
  personPublicKey,
  readPublicKey,
  thresholdOf,
  type FirstPolicy,
  type Home,
  type Settings,
} from '#home';
import { openLedger } from '#ledger';
import { policyDigest, type Person } from '#policy';
import { spkiOf, type Signer } from '#sign';
import { trustDigest, type Trust } from '#verify';
import type { Context } from './context.ts';
import { lookAt } from './init-found.ts';
import { newPassphrase } from './key.ts';
import { count, row, run, short, type CommonFlags } from './output.ts';
import { personName } from './session.ts';

const environments = [
  { name: 'staging', port: 8081 },
  { name: 'production', port: 8080 },
];

export interface InitFlags extends CommonFlags {
  readonly person?: readonly string[];
  readonly soak?: number;
}

export async function init(this: Context, flags: InitFlags): Promise<void> {
  await run(this, flags, async () => {
    const { system } = this;
    const { directory } = system;
    const say = (label: string, ...columns: string[]) => (flags.json ? undefined : row(this, label, ...columns));
    await requireRepository(directory);
    const name = personName(system);
    const others = await Promise.all((flags.person ?? []).map((text) => readPerson(directory, text)));
    if (!((flags.soak ?? 0) >= 0)) throw new CairnError('usage', '--soak is less than no time', { fix: 'Give minutes, such as --soak 10' });
    const isNew = !(await exists(join(system.home, 'trust.json')));
    if (!isNew && others.length > 0)
      throw new CairnError('conflict', `the policy of ${system.home} is made and signed already`, {
        fix: 'Set CAIRN_HOME to a folder of its own, and commit the cairn.trust.json that init then writes',
      });

    const application = await definitionOf(this, say);
    const since = `${system.clock.now().toISOString().slice(0, 19)}Z`;
    const secret = await newPassphrase(system, name, join(system.home, 'people', `${name}.key`));
    const home = await createHome(system.home, { host: '127.0.0.1', ...ports(system.environment['CAIRN_PORT']), since });
    const { people } = home.paths;
    const person = await createPerson(people, name, secret);
    const recovery = await createPerson(people, 'recovery', secret);
    const signer = await loadPerson(people, name, secret);
    const first: Person = { name, roles: [...allRoles], keys: [await personPublicKey(people, name)] };
    const wanted = {
      people: [first, ...others],
      environments: home.settings.environments.map((one) => one.name),
      tests: application.tests,
      soakMinutes: flags.soak ?? 0,
    };
    const trust = isNew ? await genesis(home, wanted, signer, system.clock) : await readTrust(home);

    const wrote = [...application.wrote];
    if (await writeNew(join(directory, 'cairn.trust.json'), () => `${JSON.stringify({ genesis: trust, rotations: [] }, null, 2)}\n`))
      wrote.push('cairn.trust.json');
    say('key', name, person.created ? 'encrypted, outside the repository' : 'found on this machine', join(people, `${name}.key`));
    if (recovery.created) say('recovery', 'replaces lost server keys', 'move it to a safe place, offline', join(people, 'recovery.key'));
    if (isNew) tellPolicy(say, wanted, trust);
    else say('policy', short(trust.policy), 'of this machine, as it was made');
    say('trust', 'cairn.trust.json', 'log key, admit keys, policy digest');
    say('next', wrote.length === 0 ? 'cairn up' : `commit ${wrote.join(' and ')}, then cairn up`);
    return {
      home: home.paths.root,
      origin: home.settings.origin,
      policy: trust.policy,
      trust: trustDigest(trust),
      person: name,
      people: wanted.people.map((one) => one.name),
      found: application.found,
      hints: application.hints,
      wrote,
    };
  });
}

function tellPolicy(say: (label: string, ...columns: string[]) => void, { people, tests, soakMinutes }: FirstPolicy, trust: Trust): void {
  const threshold = thresholdOf(people);
  say(
    'policy',
    short(trust.policy),
    `${count(people.length, 'person', 'people')}, ${threshold === 1 ? 'thresholds of one' : 'two of role release for production'}`,
  );
  for (const { name, roles } of people.slice(1)) say('', name, roles.join(', '));
  const asks = [
    'provenance',
    'sbom',
    ...(tests ? ['tests'] : []),
    'a clean commit',
    'staging before',
    ...(soakMinutes > 0 ? [`${soakMinutes} minutes there`] : []),
    threshold === 1 ? '1 approval' : `${threshold} approvals`,
  ];
  say('', 'production asks for', asks.join(', '));
  if (!tests) say('', '', 'no tests: cairn.yaml has no stage test');
  if (people.length === 1) say('', 'more people', 'cairn key new NAME, then: cairn policy show --yaml > policy.yaml');
}

interface Application {
  readonly found: readonly string[];
  readonly hints: readonly string[];
  readonly tests: boolean;
  readonly wrote: readonly string[];
}

/** The cairn.yaml that is there, or one that fits what is found. */
async function definitionOf({ system }: Context, say: (label: string, ...columns: string[]) => void): Promise<Application> {
  const path = join(system.directory, 'cairn.yaml');
  const there = await readFile(path, 'utf8').catch(() => undefined);
  const { what, hints, text } =
    there === undefined
      ? await lookAt(system.directory, { node: process.versions.node, environment: system.environment })
      : { what: ['cairn.yaml'], hints: [], text: there };
  const { components, stages } = parseDefinition(text);
  if (there === undefined) await writeNew(path, () => text);
  say('found', what.join(', '));
  if (there === undefined)
    say('wrote', 'cairn.yaml', `${stages.map(({ name }) => name).join(', ')}; ${Object.keys(components).join(', ')}: each line explained`);
  for (const hint of hints) say('see to', hint);
  return { found: what, hints, tests: stages.some(({ name }) => name === 'test'), wrote: there === undefined ? ['cairn.yaml'] : [] };
}

/** `NAME=ROLE,ROLE@PUBLICKEY.pub` */
async function readPerson(directory: string, text: string): Promise<Person> {
  const [, name = '', given = '', path = ''] = /^([a-z0-9][a-z0-9-]{0,62})=([a-z,]+)@(.+)$/.exec(text) ?? [];
  const roles = allRoles.filter((role) => given.split(',').includes(role));
  const unknown = given.split(',').filter((role) => !(allRoles as readonly string[]).includes(role));
  if (path === '' || unknown.length > 0) {
    const what = path === '' ? `"${text}" is no person` : `"${unknown[0]}" is no role`;
    throw new CairnError('usage', what, { fix: `--person NAME=ROLE,ROLE@KEY.pub, with roles of: ${allRoles.join(', ')}` });
  }
  return { name, roles, keys: [await readPublicKey(resolve(directory, path))] };
}

async function readTrust(home: Home): Promise<Trust> {
  return JSON.parse(await readFile(home.paths.trust, 'utf8')) as Trust;
}

/** The first entries of the log: the policy and the trust document, signed by the first person. Done once a home. */
async function genesis(home: Home, first: FirstPolicy, signer: Signer, clock: Context['system']['clock']): Promise<Trust> {
  const { paths, settings } = home;
  const keys = await loadServerKeys(paths.keys, first.environments);
  const key = spkiOf(signer.publicKey).toString('base64');
  const rotation = { key, recovery: await personPublicKey(paths.people, 'recovery') };
  const ledger = await openLedger({
    path: paths.ledger,
    keys: { origin: settings.origin, log: keys.log, time: keys.time },
    record: keys.record,
    clock,
    faults: noFaults,
  });
  let trust: Trust;
  try {
    // A genesis that was cut off before the file below was written is found in the log, not made twice.
    const made = (await ledger.checkpoint()) !== undefined;
    const policy = made ? await ledger.policy() : genesisPolicy(first);
    trust = genesisTrust(settings, keys, policy, rotation);
    const statements: Statement[] = [
      { predicateType: predicateTypes.policy, subject: [subjectOf('policy', policyDigest(policy))], predicate: policy },
      { predicateType: predicateTypes.trust, subject: [subjectOf('trust', trustDigest(trust))], predicate: trust },
    ];
    if (!made) await ledger.commit(statements.map((one) => ({ envelope: signEnvelope(makeStatement(one), signer), key })));
  } finally {
    await ledger.close();
  }
  await writeFileDurable(paths.trust, `${JSON.stringify(trust, null, 2)}\n`);
  return trust;
}

async function requireRepository(directory: string): Promise<void> {
  await access(join(directory, '.git')).catch((cause: unknown) => {
    throw new CairnError('not-a-repository', `${directory} is not the top of a git repository`, {
      cause,
      fix: 'git init, or change to the top of the repository',
    });
  });
}

async function writeNew(path: string, text: () => string): Promise<boolean> {
  const there = await exists(path);
  if (!there) await writeFileDurable(path, text());
  return !there;
}

/** With CAIRN_PORT, the environments take the ports behind it: two homes on one machine stay apart. */
function ports(wanted: string | undefined): Pick<Settings, 'port' | 'environments'> {
  if (wanted === undefined) return { port: 7070, environments };
  const port = Number(wanted);
  if (!Number.isInteger(port) || port < 1 || port > 65_000)
    throw new CairnError('usage', `CAIRN_PORT is "${wanted}", which is no port`, { fix: 'Set it to a number from 1 to 65000, or leave it out' });
  return { port, environments: environments.map((one, at) => ({ ...one, port: port + 1 + at })) };
}
