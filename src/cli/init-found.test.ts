import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import { parseDefinition, type Definition } from '#build';
import { lookAt } from './init-found.ts';

const scratch = await mkdtemp('/tmp/cairn-found-');
after(() => rm(scratch, { recursive: true, force: true }));

async function found(files: Record<string, string>): Promise<{ what: string; hints: string; definition: Definition; text: string }> {
  const folder = join(await mkdtemp(join(scratch, 'r-')), 'Shop.Window');
  for (const [name, text] of Object.entries({ '.keep': '', ...files })) {
    await mkdir(join(folder, dirname(name)), { recursive: true });
    await writeFile(join(folder, name), text);
  }
  const { what, hints, text } = await lookAt(folder, { node: '26.10.0', environment: { PATH: '/nonexistent' } });
  // Whatever is written must be a definition that a release takes.
  return { what: what.join(', '), hints: hints.join('\n'), definition: parseDefinition(text), text };
}

const stageNames = ({ stages }: Definition) =>
  stages.map(
    ({ name, run, layer }) =>
      `${name}${run === undefined ? '' : `: ${run.split(' ').slice(0, 3).join(' ')}`}${layer === undefined ? '' : ` -> ${layer.join(' ')}`}`,
  );
const web = ({ components }: Definition) => components['web'] as Extract<Definition['components'][string], { kind: 'web' }>;

test('a Node application with dependencies, build and tests', async () => {
  const { what, hints, definition } = await found({
    'package.json': JSON.stringify({
      name: '@acme/shop',
      scripts: { start: 'npm run serve', serve: 'node --enable-source-maps dist/server.js', build: 'tsc', test: 'node --test' },
      dependencies: { ms: '1' },
      devDependencies: { typescript: '5' },
    }),
    'package-lock.json': JSON.stringify({ packages: { '': {}, 'node_modules/ms': {}, 'node_modules/typescript': {} } }),
    'tsconfig.json': '{ "compilerOptions": { "outDir": "./dist" } }',
    'dist/server.js': "if (path === '/healthz') port = process.env.PORT",
    'public/a.css': '',
    'test/a.ts': '',
    'README.md': '',
    '.env': 'SECRET=1',
  });
  assert.equal(what, 'Node application, package-lock.json with 2 packages, starts with `node --enable-source-maps dist/server.js`, has tests');
  assert.equal(hints, '');
  assert.equal(definition.application, 'shop');
  assert.deepEqual(stageNames(definition), [
    'dependencies: npm ci --omit=dev -> node_modules',
    'tools: npm ci --ignore-scripts',
    'build: npm run build -> dist',
    'application -> package.json public',
    'test: npm test',
  ]);
  assert.deepEqual(
    [web(definition).command, web(definition).health],
    [['node', '--enable-source-maps', 'dist/server.js'], { path: '/healthz', intervalMs: 100, threshold: 1, deadlineMs: 30_000 }],
  );
});

test('a Node application of one file, one that a tool starts, and one that only a shell starts', async () => {
  const plain = await found({ 'package.json': '{ "scripts": { "test": "echo \\"Error: no test specified\\" && exit 1" } }', 'index.js': 'listen()' });
  assert.equal(plain.what, 'Node application, no dependencies, starts with `node index.js`');
  assert.match(plain.hints, /npm test says that there are none[^]*index\.js does not mention PORT/);
  assert.deepEqual([plain.definition.application, stageNames(plain.definition)], ['shop-window', ['application -> index.js package.json']]);
  const tool = await found({ 'package.json': '{ "name": "n", "scripts": { "start": "next start", "build": "next build" }, "dependencies": { "next": "1" } }' });
  assert.deepEqual(web(tool.definition).command, ['node_modules/.bin/next', 'start']);
  assert.match(tool.hints, /no lockfile: npm install --package-lock-only/);
  assert.ok(stageNames(tool.definition).includes('build: npm run build -> .next'));
  const shell = await found({ 'package.json': '{ "name": "s", "scripts": { "start": "NODE_ENV=production node server.js" } }', 'server.js': 'PORT' });
  assert.deepEqual(web(shell.definition).command, ['sh', '-c', 'NODE_ENV=production exec node server.js']);
});

test('a static site, as files and as what a build makes', async () => {
  const folder = await found({ 'public/index.html': '', 'notes.md': '' });
  assert.equal(folder.what, 'static site, public/index.html');
  assert.deepEqual(
    [folder.definition.stages, folder.definition.components['site']?.kind],
    [[{ name: 'site', network: false, from: 'public', layer: ['.'] }], 'files'],
  );
  assert.deepEqual(stageNames((await found({ 'index.html': '', 'style.css': '', 'README.md': '' })).definition), ['site -> index.html style.css']);
  const built = await found({
    'package.json': '{ "name": "p", "scripts": { "build": "vite build" }, "devDependencies": { "vite": "5" } }',
    'package-lock.json': '{ "packages": { "node_modules/vite": {} } }',
    'index.html': '',
  });
  assert.equal(built.what, 'static site built by Node, package-lock.json with 1 package');
  assert.deepEqual(
    [built.definition.components['site']?.kind, built.definition.stages.map(({ name, from }) => [name, from])],
    [
      'files',
      [
        ['tools', undefined],
        ['build', 'dist'],
      ],
    ],
  );
});

test('a Go program at the top or among others, with the version that go.mod names where go is not here', async () => {
  const files = {
    'go.mod': 'module github.com/acme/shop/v2\n\ngo 1.22.0\n\ntoolchain go1.26.8\n\nrequire example.com/x v1.0.0\n',
    'cmd/other/main.go': 'package main\n',
    'cmd/shop/main.go': 'package main\n',
    'pkg/a/a_test.go': 'package a\n',
    'ui/a.css': '',
  };
  const program = await found(files);
  assert.equal(program.what, 'Go application, github.com/acme/shop/v2, main package ./cmd/shop, has tests');
  assert.match(program.hints, /other main packages: \.\/cmd\/other[^]*go mod tidy/);
  assert.equal(program.definition.toolchain.go, '1.26.8');
  assert.deepEqual(stageNames(program.definition), [
    'modules: go mod download',
    'build: go build -ldflags="-s -> bin',
    'application -> ui',
    'test: go test -v',
  ]);
  assert.deepEqual(web(program.definition).command, ['bin/shop']);
  const top = await found({ 'go.mod': 'module hello\n\ngo 1.26\n', 'main.go': '// Hello.\npackage main\n' });
  assert.match(top.definition.stages[0]?.run ?? '', / \.$/);
});

test('anything else gets an example with every kind of line', async () => {
  const { what, hints, text } = await found({ 'Cargo.toml': '' });
  assert.match(what, /does not know/);
  assert.match(hints, /example/);
  for (const word of ['worker', 'cron', 'task', 'files', 'routes', 'limits', 'data', 'secrets', 'network: true']) assert.ok(text.includes(word), word);
});
