import assert from 'node:assert/strict';
import { copyFile, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { library } from '../support/library.ts';
import { runCairn, top } from '../support/machine.ts';

// docs/guides/auditors.md, command by command. Digests, numbers and times are whatever they are; everything else must be printed as the
// guide has it. UPDATE_GUIDE=1 writes it anew from what was printed.

const guide = join(top, 'docs/guides/auditors.md');
const block = /^```console\n([\s\S]*?)^```$/gm;

function shape(text: string): string {
  return text.replaceAll(/sha256:[0-9a-f]{64}|\b[0-9a-f]{12}\b|\b[0-9a-f]{7}\b/g, '#').replaceAll(/\d[\d,.:TZ-]*/g, '0').replaceAll(/\s+/g, ' ').trim();
}

test('the guide for auditors says what happens', async (t) => {
  const shop = await library(t);
  const { release } = await shop.release({ files: { 'server.js': 'one\n' }, packages: { ms: '1.0.0' }, message: 'Start' });
  await assert.rejects(shop.promote(release, 'production'));
  for (const environment of ['staging', 'production'] as const) await shop.promote(release, environment);
  const elsewhere = join(shop.folder, 'elsewhere');
  await mkdir(elsewhere);

  const run = async (name: string, command: string): Promise<string> => {
    const parameters = command.replace(/^cairn /, '').split(' ');
    const { code, stdout, stderr } = name === 'ada'
      ? await runCairn(shop.repository, shop.environment, parameters)
      : await runCairn(elsewhere, { PATH: process.env['PATH'] ?? '', HOME: elsewhere }, parameters, { wrapper: ['unshare', '-rn'] });
    // Handed over, by two ways.
    if (name === 'ada') {
      await copyFile(join(shop.repository, 'shop.capsule.tar'), join(elsewhere, 'shop.capsule.tar'));
      await copyFile(join(shop.repository, 'cairn.trust.json'), join(shop.folder, 'kept.json'));
    }
    const printed = `${stdout}${stderr}`.trimEnd().replaceAll(`${shop.repository}/`, '').replaceAll(`${elsewhere}/`, '').replaceAll(elsewhere, '.');
    return code === 0 ? printed : `${printed}\n  exit ${code}`;
  };

  const text = await readFile(guide, 'utf8');
  let written = text;
  for (const [whole, body = ''] of text.matchAll(block)) {
    let anew = '';
    for (const step of body.split(/^(?=[a-z]+\$ )/m).filter((one) => one !== '')) {
      const [, name = '', command = '', shown = ''] = /^([a-z]+)\$ (.*)\n([\s\S]*)$/.exec(step) ?? [];
      if (command.includes('--trust cairn.trust.json')) await copyFile(join(shop.folder, 'kept.json'), join(elsewhere, 'cairn.trust.json'));
      else await rm(join(elsewhere, 'cairn.trust.json'), { force: true });
      const printed = await run(name, command);
      if (process.env['UPDATE_GUIDE'] === undefined) assert.equal(shape(printed), shape(shown), `${name}$ ${command}\n${printed}`);
      anew += `${name}$ ${command}\n${printed}\n`;
    }
    written = written.replace(whole, () => `\`\`\`console\n${anew}\`\`\``);
  }
  if (process.env['UPDATE_GUIDE'] !== undefined) await writeFile(guide, written);
});
