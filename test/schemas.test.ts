import assert from 'node:assert/strict';
import { globSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { policyJsonSchema } from '#policy';
import { outputs } from '../src/cli/outputs.ts';
import { top } from './support/machine.ts';
import { published } from './support/schema.ts';

const folder = join(top, 'schemas/cli');

test('the published schemas are those that outputs are checked against', () => {
  assert.deepEqual(readdirSync(folder).toSorted(), published().map(([name]) => name).toSorted(), 'npm run schemas');
  for (const [name, text] of published()) assert.equal(readFileSync(join(folder, name), 'utf8'), text, `${name} is not as src/cli/outputs.ts has it: npm run schemas`);
});

test('every command that has --json has a schema', () => {
  const routes = ['application', 'routes-moving', 'routes-looking', 'routes-governing', 'routes-policy'].map((name) => readFileSync(join(top, 'src/cli', `${name}.ts`), 'utf8')).join('\n');
  const commands = [...routes.matchAll(/import\('\.\/([\w-]+)\.ts'\)\.then\(\(module\) => module\.(\w+)\)/g)].map(([, file = '', name = '']) => (file === name ? file : `${file}.${name}`));
  const named: Readonly<Record<string, string>> = {
    ...Object.fromEntries(['show', 'list', 'check', 'propose', 'sign'].map((one) => [`policy.${one}`, `policy-${one}`])), 'policy-test.test': 'policy-test', 'policy-replay.replay': 'policy-replay',
    'break-glass.breakGlass': 'break-glass', 'break-glass.settle': 'settle', ...Object.fromEntries(['list', 'show', 'own', 'resolve'].map((one) => [`incident.${one}`, `incident-${one}`])), 'trust-root.putRoot': 'trust-root', 'trust-root.showRoots': 'trust-show',
    'key.newKey': 'key-new', 'key.listKeys': 'key-list', 'config.set': 'config-set', 'config.list': 'config-list', 'secret.put': 'secret-put', 'secret.list': 'secret-list', 'ledger.rebuild': 'ledger-rebuild', 'ledger.exportTo': 'ledger-export', 'ledger-prove.prove': 'ledger-prove', 'key-rotate.rotateKey': 'key-rotate', 'ledger-evidence.evidence': 'ledger-evidence',
  };
  assert.ok(commands.length > 25);
  for (const command of commands) if (!['up', 'completion'].includes(command)) assert.ok((named[command] ?? command) in outputs, `${command} has no schema in src/cli/outputs.ts`);
});

test('no command reads the schemas when it runs', () => {
  for (const file of globSync('src/**/*.ts', { cwd: top }).filter((one) => !one.endsWith('.test.ts'))) assert.doesNotMatch(readFileSync(join(top, file), 'utf8'), /from '\.\/outputs\.ts'/, file);
});

test('the published schema of a policy is the one that files are read by', () => {
  assert.equal(readFileSync(join(top, 'schemas/policy.schema.json'), 'utf8'), `${JSON.stringify(policyJsonSchema(), null, 2)}\n`, 'npm run schemas');
});
