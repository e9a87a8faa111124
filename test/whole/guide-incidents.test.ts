import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Digest } from '#core';
import { createPerson, personPublicKey } from '#home';
import { library } from '../support/library.ts';
import { passphrase, runCairn, top } from '../support/machine.ts';

// docs/guides/incidents-and-revocation.md, command by command, by the people at its prompts. Digests, numbers and times are whatever
// they are; everything else must be printed as the guide has it. UPDATE_GUIDE=1 writes it anew from what was printed.

const guide = join(top, 'docs/guides/incidents-and-revocation.md');
const block = /^```console\n([\s\S]*?)^```$/gm;

/** What stays when everything that may differ from run to run is taken out. */
function shape(text: string): string {
  return text.replaceAll(/sha256:[0-9a-f]{64}|\b[0-9a-f]{12}\b|\b[0-9a-f]{7}\b/g, '#').replaceAll(/\d[\d,.:TZ-]*/g, '0').replaceAll(/\s+/g, ' ').trim();
}

test('the guide to incidents and revocation says what happens', async (t) => {
  const keys = await mkdtemp('/tmp/cairn-k-');
  t.after(() => rm(keys, { recursive: true, force: true }));
  const publicKeys = new Map<string, string>();
  for (const name of ['bob', 'sue']) {
    await createPerson(keys, name, passphrase);
    publicKeys.set(name, await personPublicKey(keys, name));
  }
  const shop = await library(t, (genesis) => ({
    ...genesis,
    people: [
      ...genesis.people.map((one) => ({ ...one, roles: ['builder', 'developer', 'release'] })), { name: 'bob', roles: ['release'], keys: [publicKeys.get('bob') ?? ''] }, { name: 'sue', roles: ['security'], keys: [publicKeys.get('sue') ?? ''] },
    ],
    environments: genesis.environments.map((one) => (one.name === 'production' ? { ...one, breakGlass: { role: 'release', threshold: 1, hours: 4 } } : one)),
    quorum: [{ role: 'release', threshold: 1 }, { role: 'security', threshold: 1 }],
  }));
  for (const file of await readdir(keys)) await rename(join(keys, file), join(shop.home.paths.people, file));

  const made = async (greeting: string, packages: Readonly<Record<string, string>> = {}) => (await shop.release({ files: { 'server.js': `// ${greeting}\n` }, packages, message: greeting })).release;
  const good = await made('good');
  const bad = await made('bad', { 'left-pad': '1.3.0' });
  const later = await made('later');
  const next = await made('next');
  const damaged = await made('damaged');
  for (const release of [good, bad]) for (const environment of ['staging', 'production'] as const) await shop.promote(release, environment);
  await shop.promote(next, 'staging');
  await shop.rollback('staging');
  const digests = new Map<string, Digest>([['000000000bad', bad], ['000000000abc', later], ['000000000def', next], ['000000000e11', damaged]]);

  const damage = await breakBlob(shop.home.paths.registry, damaged);
  let incident: number | undefined;
  const run = async (name: string, command: string): Promise<string> => {
    if (command.includes('--resolution')) await damage.mend();
    incident ??= (await shop.ledger.incidents())[0]?.logIndex;
    let words = command.replace(/^cairn /, '').replaceAll(/\b26\b/g, String(incident ?? 26));
    for (const [shown, real] of digests) words = words.replaceAll(shown, real.slice(7, 19));
    const parameters = [...words.matchAll(/"([^"]*)"|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain ?? '');
    const { code, stdout, stderr } = await runCairn(shop.repository, { ...shop.environment, CAIRN_USER: name }, parameters);
    const printed = `${stdout}${stderr}`.trimEnd();
    return code === 0 ? printed : `${printed}\n  exit ${code}`;
  };

  const text = await readFile(guide, 'utf8');
  let written = text;
  for (const [whole, body = ''] of text.matchAll(block)) {
    let anew = '';
    for (const step of body.split(/^(?=[a-z]+\$ )/m).filter((one) => one !== '')) {
      const [, name = '', command = '', shown = ''] = /^([a-z]+)\$ (.*)\n([\s\S]*)$/.exec(step) ?? [];
      const printed = await run(name, command);
      if (process.env['UPDATE_GUIDE'] === undefined) assert.equal(shape(printed), shape(shown), `${name}$ ${command}\n${printed}`);
      let told = printed;
      for (const [digits, real] of digests) told = told.replaceAll(real, `sha256:${digits}${real.slice(19)}`).replaceAll(real.slice(7, 19), digits);
      if (incident !== undefined) told = told.replaceAll(new RegExp(`(incident|entry)(\\s+)${incident}\\b`, 'g'), (_, word: string, gap: string) => `${word}${gap}26`).replaceAll(new RegExp(`(own|resolve) ${incident}\\b`, 'g'), '$1 26');
      anew += `${name}$ ${command}\n${told}\n`;
    }
    written = written.replace(whole, () => `\`\`\`console\n${anew}\`\`\``);
  }
  if (process.env['UPDATE_GUIDE'] !== undefined) await writeFile(guide, written);

  // Whoever was not there finds all of it in order, and decides each of it again.
  const audited = await shop.cairn('audit');
  assert.equal(audited.code, 0, audited.stderr);
  for (const [name, release] of [['past broken glass', later], ['behind a debt', next], ['with an incident', damaged]] as const) {
    const file = join(shop.folder, `${release.slice(7, 19)}.tar`);
    const written = await shop.cairn('audit', '--capsule', file, release.slice(7, 19));
    assert.equal(written.code, 0, `${name}: ${written.stderr}`);
    const again = await shop.cairn('verify', '--capsule', file);
    assert.equal(again.code, 0, `${name}: ${again.stderr}`);
  }
});

/** Flips a byte of the layer that holds the release's own file. */
async function breakBlob(registry: string, release: Digest): Promise<{ mend(): Promise<void> }> {
  const content = join(registry, 'content');
  const path = await pathOf(content, release);
  const index = JSON.parse(await readFile(path, 'utf8')) as { manifests: { digest: Digest }[] };
  for (const { digest } of index.manifests) {
    const manifest = JSON.parse(await readFile(await pathOf(content, digest), 'utf8')) as { layers: { digest: Digest; mediaType: string }[] };
    const layer = manifest.layers.at(-1);
    if (layer === undefined || !layer.mediaType.includes('layer')) continue;
    const at = await pathOf(content, layer.digest);
    const whole = await readFile(at);
    const flipped = Buffer.from(whole);
    flipped[20] = (flipped[20] ?? 0) ^ 1;
    const replace = async (bytes: Buffer) => {
      await rm(at);
      await writeFile(at, bytes);
    };
    await replace(flipped);
    return { mend: () => replace(whole) };
  }
  throw new Error('the release has no layer');
}

async function pathOf(folder: string, digest: Digest): Promise<string> {
  const found = (await readdir(folder, { recursive: true })).find((one) => one.endsWith(digest.slice(7)) || one.replaceAll('/', '').endsWith(digest.slice(7)));
  if (found === undefined) throw new Error(`no blob ${digest}`);
  return join(folder, found);
}
