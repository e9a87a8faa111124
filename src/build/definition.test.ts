import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { definitionJsonSchema, parseDefinition } from '#build';

const top = join(import.meta.dirname, '../..');
const whole = `application: shop
toolchain:
  node: 26.10.0
stages:
  - name: dependencies
    run: npm ci
    network: true
    layer: [node_modules]
  - name: app
    layer: [server.js]
  - name: test
    run: npm test
components:
  web:
    kind: web
    command: [node, server.js]
    health: { path: /healthz }
    data: [files]
  nightly:
    kind: cron
    layers: [app]
    command: [node, nightly.js]
    schedule: "30 2 * * mon-fri"
  assets:
    kind: files
    layers: [app]
    routes: [{ path: /assets }]
configuration:
  GREETING: hello
secrets:
  DB_URL: follow
schema:
  minimum: 1
  maximum: 2
  component: web
  file: files/version
`;

function refusal(from: string, to: string): { code: string; message: string; fix: string | undefined; lines: string[] } {
  const text = whole.replace(from, to);
  assert.notEqual(text, whole, from);
  try {
    parseDefinition(text);
  } catch (error) {
    const { code, message, fix, context } = error as { code: string; message: string; fix?: string; context: { lines?: string[] } };
    return { code, message, fix, lines: context.lines ?? [] };
  }
  return assert.fail(`taken: ${to}`);
}

/** What is written wrong, with the line and the column where, and what mends it. */
const wrong: readonly (readonly [from: string, to: string, message: RegExp, fix?: RegExp])[] = [
  ['stages:', 'stagse:', /^cairn\.yaml:4:1: unknown key "stagse"$/, /"stages"/],
  ['    network: true', '    netwrok: true', /^cairn\.yaml:7:5: unknown key "netwrok" in stages\[0\]$/, /"network"/],
  ['{ path: /healthz }', '{ pth: /healthz }', /^cairn\.yaml:17:15: unknown key "pth" in components\.web\.health$/, /"path"/],
  ['    data: [files]', '    schedule: "* * * * *"', /^cairn\.yaml:18:5: a web has no "schedule"$/, /kind: cron/],
  ['schedule: "30', 'schedul: "30', /:23:5: unknown key "schedul" in components\.nightly$/, /"schedule"/],
  ['GREETING: hello', 'GREETING: 1', /:29:13: "GREETING" is the number 1, text is wanted$/, /"1"/],
  ['[server.js]', 'server.js', /:10:12: "layer" is text, a list is wanted$/],
  ['[server.js]', '[../secrets]', /:10:13: "layer\[0\]": a plain path/],
  ['[server.js]', '[/etc/passwd]', /:10:13: /],
  ['  node: 26.10.0', '  node: 26', /:3:9: "node" is the number 26, text is wanted$/, /"26"/],
  ['  node: 26.10.0', '  node: "26"', /:3:9: "node": an exact version/],
  ['DB_URL: follow', 'DB_URL: both', /:31:11: "DB_URL" is "both", wanted is follow or pin$/],
  ['kind: web', 'kind: wbe', /:15:11: unknown kind "wbe": web, worker, cron, task or files$/],
  ['    kind: web\n', '', /:14:3: components\.web needs "kind"/],
  ['    health: { path: /healthz }\n', '', /:14:3: components\.web needs "health"$/, /health: \{ path: \/healthz \}/],
  ['    layers: [app]\n    command', '    layers: [apps]\n    command', /:21:14: no stage is called apps$/, /"app"/],
  ['    layers: [app]\n    command', '    layers: [test]\n    command', /:21:14: the stage test makes no layer$/],
  ['- name: app', '- name: dependencies', /:9:11: two stages are called dependencies$/],
  ['- name: app', '- name: runtime', /:9:11: no stage can be called runtime/],
  ['    run: npm test\n', '    network: true\n', /:11:11: the stage test runs nothing$/],
  ['  node: 26.10.0', '  go: 1.26.8', /:6:10: the stage dependencies runs npm, and toolchain names no node$/, /toolchain/],
  ['[node, server.js]', '[npm, start]', /:16:15: web runs npm, which the release does not carry$/],
  ['"30 2 * * mon-fri"', '"30 2 * *"', /:23:15: "30 2 \* \*": 4 fields$/, /Five fields/],
  ['"30 2 * * mon-fri"', '"61 2 * * *"', /:23:15: .*the minute is not from 0 to 59$/],
  ['"30 2 * * mon-fri"', '"*/0 2 * * *"', /the minute/],
  ['path: /assets', 'path: /', /:27:14: assets and web both want the route \/$/, /routes/],
  ['DB_URL: follow', 'GREETING: follow', /:31:3: GREETING is a secret and a configuration$/],
  ['GREETING: hello', 'PORT: "80"', /:29:3: PORT is set by Cairn$/],
  ['minimum: 1', 'minimum: 3', /:33:12: minimum 3 is above maximum 2$/],
  ['component: web', 'component: wbe', /:35:14: no component is called wbe$/, /web, nightly/],
  ['component: web', 'component: assets', /assets has files only/],
  ['file: files/version', 'file: other/version', /:36:9: no data folder is called other$/, /files/],
  ['file: files/version', 'file: files/../version', /is no DATA\/PATH$/],
  ['  component: web', '  component: web\n  command: [node, version.js]', /:37:9: command and file both say the schema$/],
  ['application: shop', 'application: [', /^cairn\.yaml:\d+:\d+: /],
];

for (const [from, to, message, fix] of wrong) {
  test(`cairn.yaml with "${to.trim().replaceAll('\n', ' ').slice(0, 60)}" for "${from.trim().replaceAll('\n', ' ').slice(0, 40)}" is refused with its line`, () => {
    const found = refusal(from, to);
    assert.equal(found.code, 'invalid-configuration');
    assert.match(found.message, message);
    if (fix !== undefined) assert.match(found.fix ?? '', fix);
  });
}

test('a definition that uses every kind of line is read', () => {
  const { components, confirm, stages } = parseDefinition(whole);
  assert.deepEqual(Object.keys(components), ['web', 'nightly', 'assets']);
  assert.deepEqual(confirm, { seconds: 10 });
  assert.deepEqual(stages[2], { name: 'test', run: 'npm test', network: false });
});

test('all that is wrong is told at once, a misspelt key first and what it leaves missing not at all', () => {
  const { message, lines } = refusal('    run: npm ci\n    network: true\n', '    run: 7\n    network: maybe\n    layr: [a]\n');
  assert.match(message, /unknown key "layr"/);
  assert.deepEqual(
    lines.map((line) => line.split(':')[1]),
    ['6', '7'],
  );
  assert.deepEqual(refusal('schedule: "30', 'schedul: "30').lines, []);
});

test('the schema for editors is the one that is shipped: node test/support/write-schema.ts', async () => {
  const shipped = await readFile(join(top, 'schemas/cairn.yaml.schema.json'), 'utf8');
  assert.equal(shipped, `${JSON.stringify(definitionJsonSchema(), null, 2)}\n`);
});

test('the example is read', async () => {
  assert.equal(parseDefinition(await readFile(join(top, 'examples/hello/cairn.yaml'), 'utf8')).application, 'hello');
});

test('a file that unfolds without end is refused, and so is one that is no mapping', () => {
  const bomb = `a: &a [x, x, x, x, x, x, x, x, x]\n${Array.from({ length: 9 }, (_, at) => `${'bcdefghij'[at]}: &${'bcdefghij'[at]} [${Array.from({ length: 9 }, () => `*${'abcdefghi'[at]}`).join(', ')}]`).join('\n')}\n`;
  assert.throws(() => parseDefinition(bomb), { code: 'invalid-configuration' });
  assert.throws(() => parseDefinition('- a\n'), { code: 'invalid-configuration', message: /cairn\.yaml:1:1/ });
  assert.throws(() => parseDefinition(''), { code: 'invalid-configuration' });
});
