// Three people govern together, for real, in a temporary folder on one machine: a policy is changed by those it names and by nobody else,
// the server included; a release meets the new gate. Ends by itself and leaves nothing.
import { spawn } from 'node:child_process';
import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { parse, stringify } from 'yaml';
import { makeStatement, parsePredicate, parseStatement, payloadOf, predicateTypes, signEnvelope, subjectOf } from '#attest';
import { CairnError, type Digest } from '#core';
import { homePaths, loadServerKeys, readToken } from '#home';
import { policyDigest, type Policy } from '#policy';
import { apiClient } from '#server';
import { spkiOf } from '#sign';
import { makeRepository } from '../support/machine.ts';
import { Place } from './place.ts';

type Name = 'ada' | 'sue' | 'rex';
type Edited = { people: { name: string; roles: string[] }[]; quorum: { role: string; threshold: number }[]; environments: { name: string; rules: object[] }[] };

const began = performance.now();
let place: Place;
const homeOf = (name: Name) => (name === 'ada' ? place.home : join(place.folder, `home-${name}`));

function title(text: string): void {
  process.stdout.write(`\n${text}\n`);
}

/** Runs a command as somebody, and shows it with what it printed. */
async function as(name: Name, exit: number, ...parameters: string[]): Promise<string> {
  const env = { ...place.environment, CAIRN_HOME: homeOf(name), CAIRN_USER: name, CAIRN_PASSPHRASE: `the passphrase of ${name}` };
  const child = spawn(process.execPath, [join(import.meta.dirname, '../../bin/cairn.js'), ...parameters], { cwd: place.repository, env, stdio: ['ignore', 'pipe', 'pipe'] });
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
  const code = await new Promise<number>((resolve) => child.once('close', (status) => resolve(status ?? -1)));
  const shown = parameters.map((one) => one.replace(`${place.folder}/`, ''));
  process.stdout.write(`  ${name}$ cairn ${shown.join(' ')}\n${text.replaceAll(`${place.folder}/`, '').trimEnd().split('\n').map((line) => `      ${line.replace(/^ {2}/, '')}`).join('\n')}\n`);
  if (code !== exit) throw new Error(`the demo did not hold what it shows: it ended with ${code}, not ${exit}`);
  if (exit !== 0) process.stdout.write(`      exit ${exit}\n`);
  return text;
}

async function json<T>(...parameters: string[]): Promise<T> {
  return (await place.cairn<T>(...parameters)).result;
}

const file = () => join(place.folder, 'policy.yaml');

async function edit(change: (policy: Edited) => void): Promise<void> {
  const { policy } = await json<{ policy: Edited & { kind: unknown; version: unknown; previous: unknown } }>('policy', 'show');
  const { kind: _, version: __, previous: ___, ...rest } = structuredClone(policy);
  change(rest);
  await writeFile(file(), stringify(rest, { lineWidth: 160 }));
}

async function begin(): Promise<void> {
  title('Three people, each with a home and a key of their own');
  for (const name of ['sue', 'rex'] as const) {
    await mkdir(homeOf(name), { mode: 0o700 });
    await as(name, 0, 'key', 'new', name);
  }
  await as('ada', 0, 'init', '--person', `sue=security@${homeOf('sue')}/people/sue.pub`, '--person', `rex=release@${homeOf('rex')}/people/rex.pub`);
  await place.git('add', '.');
  await place.git('commit', '-qm', 'Add Cairn');
  await place.up();
  for (const name of ['sue', 'rex'] as const) {
    await mkdir(join(homeOf(name), 'known'), { recursive: true });
    // Where the server is, and the token to speak with it. Neither lets anybody sign.
    for (const one of ['cairn.json', 'token']) await copyFile(join(place.home, one), join(homeOf(name), one));
  }
}

async function partRoles(): Promise<void> {
  title('Version 2: roles are parted, and the next change takes one developer, one security, one release');
  await edit((policy) => {
    for (const one of policy.people) if (one.name === 'ada') one.roles = ['builder', 'developer', 'release'];
    policy.quorum = ['developer', 'security', 'release'].map((role) => ({ role, threshold: 1 }));
  });
  await as('ada', 0, 'policy', 'propose', file());
  await as('rex', 0, 'policy', 'sign', await proposed());
}

async function proposed(): Promise<string> {
  const { proposals } = await json<{ proposals: { digest: Digest; state: string }[] }>('policy', 'list');
  const open = proposals.find(({ state }) => state === 'open');
  if (open === undefined) throw new Error('nothing is proposed');
  return open.digest.slice(7, 19);
}

async function proposeGate(): Promise<string> {
  title('Version 3: a gate in CEL. It is checked and tried before anybody signs');
  const gate = { kind: 'cel', name: 'scanned', expression: "scans.exists(s, 'security' in s.roles) && vulnerabilities.all(v, v.rank < 4)", fix: 'Security runs: cairn attest DIGEST --osv REPORT' };
  await edit((policy) => {
    const rules = policy.environments.find(({ name }) => name === 'production')?.rules ?? [];
    for (const rule of rules) if ('kind' in rule && rule.kind === 'approvals') Object.assign(rule, { threshold: 1, independent: true });
    rules.push({ ...gate, expression: gate.expression.replace('scans.exists', 'scan.exists') });
  });
  await as('ada', 4, 'policy', 'check', file());
  await writeFile(file(), (await readFile(file(), 'utf8')).replace('scan.exists', 'scans.exists'));
  await as('ada', 0, 'policy', 'check', file());
  const usual = ['{ by: ada, provenance: true }', '{ by: ada, sbom: [] }', '{ by: rex, approval: true }'];
  const cases = [
    { name: 'a critical vulnerability keeps it out', scan: '{ by: sue, scan: [CVE-2026-1 critical pkg:npm/x@1] }', expect: 'refused', rules: { scanned: 'failed', approvals: 'passed' } },
    { name: 'scanned by security, it is let in', scan: '{ by: sue, scan: [CVE-2026-2 low pkg:npm/x@1] }', expect: 'admitted', rules: { scanned: 'passed' } },
    { name: 'scanned by a developer, it is not', scan: '{ by: ada, scan: [] }', expect: 'refused', rules: { scanned: 'failed' } },
  ].map(({ name, scan, expect, rules }) => ({ name, ask: { environment: 'production', by: 'ada' }, release: { confirmed: { staging: '1h' } }, statements: [...usual, scan].map((text) => parse(text) as unknown), expect, rules }));
  await writeFile(file().replace('.yaml', '.test.yaml'), stringify({ cases }));
  await as('ada', 0, 'policy', 'test', file());
  await as('ada', 0, 'policy', 'propose', file());
  return proposed();
}

async function nobodyAlone(digest: string): Promise<void> {
  title('Two have signed: it is not enough. Nor is the server, with every key that it has');
  await as('sue', 0, 'policy', 'sign', digest);
  const { paths } = { paths: homePaths(place.home) };
  const api = apiClient(`http://127.0.0.1:${place.port}`, await readToken(paths));
  const { proposals, statements } = await api.policies();
  const policy = proposals.find((one) => one.digest.slice(7).startsWith(digest))?.policy as Policy;
  const keys = await loadServerKeys(paths.keys, ['staging', 'production']);
  const statement = makeStatement({ predicateType: predicateTypes.policy, subject: [subjectOf('policy', policyDigest(policy))], predicate: policy });
  for (const [what, signer] of [['record', keys.record], ['admit-production', keys.admit('production')]] as const) {
    const refused = await api.signPolicy({ envelope: signEnvelope(statement, signer), key: spkiOf(signer.publicKey).toString('base64') }).then(() => undefined, (error: unknown) => error);
    if (!(refused instanceof CairnError)) throw new Error(`the server's key ${what} signed`, { cause: refused });
    process.stdout.write(`  the server's key ${what.padEnd(17)} refused (${refused.code}): ${refused.message}\n`);
  }
  if (statements.length < 4) throw new Error('the signatures are not in the log');
  await as('ada', 0, 'policy', 'list');
}

async function meetGate(digest: string): Promise<void> {
  title('Meanwhile a release; the third signs; the new gate refuses it and says what to do');
  await as('ada', 0, 'release');
  const { release } = await json<{ release: Digest }>('release');
  const short = release.slice(7, 19);
  await as('ada', 0, 'promote', short, 'staging');
  await as('rex', 0, 'policy', 'sign', digest);
  await as('ada', 4, 'promote', short, 'production');
  title('Security brings the evidence, release approves, and who built it does not count as another pair of eyes');
  const report = join(place.folder, 'osv.json');
  await writeFile(report, JSON.stringify({ results: [] }));
  await as('sue', 0, 'attest', short, '--osv', report);
  await as('ada', 0, 'approve', short, 'production');
  await as('ada', 4, 'promote', short, 'production');
  await as('rex', 0, 'approve', short, 'production');
  await as('ada', 0, 'promote', short, 'production');
  await provePinned(release, digest);
}

async function provePinned(release: Digest, digest: string): Promise<void> {
  title('The verdict pins the policy that it was decided by, and whoever has cairn.trust.json can follow it there');
  const api = apiClient(`http://127.0.0.1:${place.port}`, await readToken(homePaths(place.home)));
  const verdict = (await api.about(release, predicateTypes.verdict)).at(-1);
  if (verdict === undefined) throw new Error('there is no verdict');
  const { policy, 'https://cairn.internal/verdict/v1': said } = parsePredicate('verdict', parseStatement(payloadOf(verdict.bundle.dsseEnvelope)));
  process.stdout.write(`  verdict at log entry ${verdict.logIndex}, ${said.environment}: policy ${policy.digest.sha256.slice(0, 12)}\n`);
  if (!policy.digest.sha256.startsWith(digest)) throw new Error('the verdict pins another policy');
  await as('sue', 0, 'policy', 'list');
  await as('sue', 0, 'verify', release.slice(7, 19));
  await as('ada', 0, 'policy', 'replay', '--since', '1d');
  await as('ada', 0, 'audit');
}

/** @returns the exit code */
export async function parties(): Promise<number> {
  place = await Place.make('hello', (folder) => makeRepository(folder));
  place.environment['CAIRN_PASSPHRASE'] = 'the passphrase of ada';
  // Cut short, it must leave nothing behind either.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void place.remove().then(() => process.exit(130)));
  try {
    await begin();
    await partRoles();
    const digest = await proposeGate();
    await nobodyAlone(digest);
    await meetGate(digest);
    title(`Three people, three versions of a policy, one release: ${((performance.now() - began) / 1000).toFixed(0)} s. Everything is removed.`);
    return 0;
  } finally {
    await place.remove();
  }
}
