import assert from 'node:assert/strict';
import { copyFile, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { parse, stringify } from 'yaml';
import { checkPolicy, factTable, type Policy, type Rule } from '#policy';
import { commitAll, Machine, runCairn, top } from '../support/machine.ts';
import { Colleague } from '../support/people.ts';

// docs/guides/policy.md, command by command, by the people at its prompts. Digests, numbers and times are whatever they are; everything
// else must be printed as the guide has it. UPDATE_GUIDE=1 writes it anew from what was printed.

const guide = join(top, 'docs/guides/policy.md');
const block = /^```console\n([\s\S]*?)^```$/gm;
const yamlBlock = /^```yaml\n([\s\S]*?)^```$/gm;
type Edited = { people: { name: string; roles: string[] }[]; quorum: unknown[]; environments: { name: string; rules: object[] }[] };

function shape(text: string): string {
  return text.replaceAll(/sha256:[0-9a-f]{64}|\b[0-9a-f]{12}\b|\b[0-9a-f]{7}\b/g, '#').replaceAll(/\.\.\.\S{24}/g, '...#').replaceAll(/\d[\d,.:TZ-]*/g, '0').replaceAll(/\s+/g, ' ').trim();
}

test('the guide lists every fact, and its expressions are sound', async () => {
  const text = await readFile(guide, 'utf8');
  const lines = factTable().map(({ name, is }) => `| \`${name}\` | ${is} |`);
  const rows = /\| fact \| is \|\n\|---\|---\|\n((?:\|.*\n)+)/.exec(text)?.[1] ?? '';
  if (process.env['UPDATE_GUIDE'] !== undefined) await writeFile(guide, text.replace(rows, () => `${lines.join('\n')}\n`));
  else assert.equal(rows.trimEnd(), lines.join('\n'));
  const expressions = (/```cel\n([\s\S]*?)```/.exec(text)?.[1] ?? '').trimEnd().split('\n');
  const rules = expressions.map((expression, at): Rule => ({ kind: 'cel', name: `rule-${at}`, expression, blocksRollback: false }));
  const environment = (name: string, its: Rule[]) => ({ name, promote: 'release', rollback: 'release', rules: its });
  const policy: Policy = {
    kind: 'policy', version: 1, people: [{ name: 'ada', roles: ['release', 'security'], keys: ['YWRh'] }], quorum: [{ role: 'release', threshold: 1 }],
    environments: [environment('staging', [{ kind: 'clean', blocksRollback: false }]), environment('production', rules)],
  };
  assert.ok(rules.length > 5);
  assert.deepEqual(checkPolicy(policy, { now: 0 }), []);
});

test('the guide to the policy says what happens', { timeout: 300_000 }, async (t) => {
  const machine = await Machine.make(t);
  const text = await readFile(guide, 'utf8');
  const [roles, gate, cases] = [...text.matchAll(yamlBlock)].map(([, body = '']) => body);
  const people = new Map<string, Colleague>();
  const digests = new Map<string, string>();
  let written = text;

  const edit = async (change: (policy: Edited) => void): Promise<void> => {
    const policy = parse((await machine.cairn('policy', 'show', '--yaml')).stdout) as Edited;
    change(policy);
    await writeFile(join(machine.repository, 'policy.yaml'), stringify(policy, { lineWidth: 200 }));
  };
  /** What people do between the commands. */
  const before = async (command: string, at: number): Promise<void> => {
    if (command === 'cairn policy check policy.yaml' && digests.size === 0) {
      await commitAll(machine.repository, 'Add Cairn');
      await machine.startUp();
      for (const one of people.values()) await one.join();
      const wanted = parse(roles ?? '') as Edited;
      await edit((policy) => {
        for (const { name, roles: of } of wanted.people) for (const one of policy.people) if (one.name === name) one.roles = of;
        policy.quorum = wanted.quorum;
      });
    } else if (command === 'cairn policy check policy.yaml' && at > 0) {
      await edit((policy) => policy.environments.find(({ name }) => name === 'production')?.rules.push(...(parse(gate ?? '') as object[])));
      await writeFile(join(machine.repository, 'policy.test.yaml'), cases ?? '');
    }
  };
  const run = async (name: string, command: string): Promise<string> => {
    if (command.startsWith('cairn key new')) {
      const one = await Colleague.make(machine, name);
      people.set(name, one);
      await copyFile(one.publicKey, join(machine.repository, `${name}.pub`));
      return `  key        ${name}`;
    }
    let words = command.replace(/^cairn /, '');
    for (const [shown, real] of digests) words = words.replaceAll(shown, real);
    const parameters = words.split(' ');
    const { code, stdout, stderr } = name === 'ada' ? await runCairn(machine.repository, machine.environment, parameters) : ((await people.get(name)?.cairn(...parameters)) ?? assert.fail(name));
    const printed = `${stdout}${stderr}`.trimEnd();
    const proposed = /proposed\s+version (\d+)\s+sha256:([0-9a-f]{12})/.exec(printed);
    if (proposed !== null) digests.set(`00000000aaa${proposed[1]}`, proposed[2] ?? '');
    return code === 0 ? printed : `${printed}\n  exit ${code}`;
  };

  for (const [at, [whole, body = '']] of [...text.matchAll(block)].entries()) {
    let anew = '';
    for (const step of body.split(/^(?=[a-z]+\$ )/m).filter((one) => one !== '')) {
      const [, name = '', command = '', shown = ''] = /^([a-z]+)\$ (.*)\n([\s\S]*)$/.exec(step) ?? [];
      await before(command, at);
      let told = (await run(name, command)).replaceAll(`${machine.home}/`, '~/.cairn/');
      if (process.env['UPDATE_GUIDE'] === undefined) assert.equal(shape(told), shape(shown), `${name}$ ${command}\n${told}`);
      for (const [digits, real] of digests) told = told.replaceAll(real, digits);
      anew += `${name}$ ${command}\n${told}\n`;
    }
    written = written.replace(whole, () => `\`\`\`console\n${anew}\`\`\``);
  }
  if (process.env['UPDATE_GUIDE'] !== undefined) await writeFile(guide, written);
});
