import { execFile } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { promisify } from 'node:util';
import { exampleText, goText, nodeText, staticText } from './init-texts.ts';

/** What a repository holds, so far as it shows, and the cairn.yaml that fits it. */
export interface Found {
  /** In words: what it is, and by what. */
  readonly what: readonly string[];
  /** What a person should see to before the first release. */
  readonly hints: readonly string[];
  readonly text: string;
}

export interface Versions {
  /** Of the Node that Cairn carries. */
  readonly node: string;
  readonly environment: Readonly<Record<string, string | undefined>>;
}

/** Looks at the names and the manifests that lie at the top of the repository; nothing is run but `go env`. */
export async function lookAt(directory: string, versions: Versions): Promise<Found> {
  const names = (await readdir(directory)).toSorted();
  const application = nameFrom(basename(directory));
  if (names.includes('package.json')) return lookAtNode(directory, names, versions);
  if (names.includes('go.mod')) return lookAtGo(directory, names, versions);
  const folder = ['public', 'dist', 'site', '_site', 'build', 'docs'].find((one) => names.includes(one));
  const index = names.includes('index.html')
    ? '.'
    : folder !== undefined && (await readdir(join(directory, folder)).catch(() => [] as string[])).includes('index.html')
      ? folder
      : undefined;
  if (index !== undefined) {
    const layer = index === '.' ? filesOf(names) : ['.'];
    return {
      what: ['static site', index === '.' ? 'index.html' : `${index}/index.html`],
      hints: [],
      text: staticText({ application, from: index === '.' ? null : index, layer }),
    };
  }
  return {
    what: ['an application of a kind that Cairn does not know'],
    hints: ['cairn.yaml is an example: write into it how yours is built and started'],
    text: exampleText(application),
  };
}

interface Manifest {
  readonly name?: string;
  readonly main?: string;
  readonly scripts?: Readonly<Record<string, string>>;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
}

async function lookAtNode(directory: string, names: readonly string[], { node }: Versions): Promise<Found> {
  const read = (name: string) =>
    readFile(join(directory, name), 'utf8')
      .then((text) => JSON.parse(text) as unknown)
      .catch(() => ({}));
  const manifest = (await read('package.json')) as Manifest;
  const { scripts = {}, dependencies = {}, devDependencies = {} } = manifest;
  const { packages = {} } = (await read('package-lock.json')) as { packages?: object };
  const locked = Object.keys(packages).filter((path) => path.includes('node_modules/')).length;
  const own = Object.keys(dependencies).length;
  const development = Object.keys(devDependencies).length;
  const start = startOf(manifest, names);
  const output = scripts['build'] === undefined ? undefined : await outputOf(directory, { ...dependencies, ...devDependencies });
  const tests = scripts['test'] !== undefined && !/no test specified/.test(scripts['test']);
  const files = filesOf(names.filter((name) => name !== output));
  const hints: string[] = [];
  if (own + development > 0 && locked === 0) hints.push('package.json has dependencies and no lockfile: npm install --package-lock-only');
  if (scripts['test'] !== undefined && !tests) hints.push('npm test says that there are none: production will not ask for tests');
  const text = nodeText({
    application: nameFrom((manifest.name ?? basename(directory)).replace(/^@[^/]*\//, '')),
    node,
    start: start?.command,
    output,
    files,
    tests,
    installs: own > 0,
    installsAll: development > 0 && (output !== undefined || tests),
    health: await healthOf(directory, start?.file),
  });
  if (start === undefined && output === undefined) hints.push('nothing says how it starts: see to command in cairn.yaml');
  if (start?.file !== undefined && !/\bPORT\b/.test(await readFile(join(directory, start.file), 'utf8').catch(() => 'PORT')))
    hints.push(`${start.file} does not mention PORT: it must listen where HOST and PORT say`);
  const kind = start === undefined && output !== undefined ? 'static site built by Node' : 'Node application';
  const lock = locked > 0 ? `package-lock.json with ${locked} package${locked === 1 ? '' : 's'}` : own + development > 0 ? 'no lockfile' : 'no dependencies';
  return { what: [kind, lock, ...(start === undefined ? [] : [`starts with \`${start.shown}\``]), ...(tests ? ['has tests'] : [])], hints, text };
}

/** What `npm start` comes to, without npm: a release carries Node alone. */
function startOf({ scripts = {}, main }: Manifest, names: readonly string[]): { command: string[]; file: string | undefined; shown: string } | undefined {
  let line = scripts['start'];
  for (let hops = 0; hops < 5 && line !== undefined; hops++) {
    const next = /^(?:npm run|npm|yarn|pnpm)(?: run)? ([\w:-]+)$/.exec(line)?.[1];
    if (next === undefined) break;
    line = scripts[next];
  }
  const file = [main, 'server.js', 'index.js', 'app.js', 'main.js', 'server.mjs', 'index.mjs', 'server.ts'].find(
    (one) => one !== undefined && (one.includes('/') || names.includes(one)),
  );
  line ??= file === undefined ? undefined : `node ${file}`;
  if (line === undefined) return undefined;
  const words = line.trim().split(/\s+/);
  // Only a shell knows what to do with these.
  if (/["'`$&|;<>*?()=]/.test(line)) return { command: ['sh', '-c', inShell(line)], file: undefined, shown: line };
  if (words[0] === 'node') return { command: words, file: words.find((word) => /\.[cm]?[jt]s$/.test(word))?.replace(/^\.\//, ''), shown: line };
  return { command: [`node_modules/.bin/${words[0]}`, ...words.slice(1)], file: undefined, shown: line };
}

/** The program takes the shell's place, so that it gets the signals; not where there are several. */
function inShell(line: string): string {
  if (/[;|&]/.test(line)) return line;
  const [, settings = '', program = ''] = /^((?:[A-Za-z_][A-Za-z0-9_]*=\S*\s+)*)(.*)$/.exec(line) ?? [];
  return `${settings}exec ${program}`;
}

/** Where `npm run build` puts what it makes. */
async function outputOf(directory: string, packages: Readonly<Record<string, string>>): Promise<string> {
  const config = await readFile(join(directory, 'tsconfig.json'), 'utf8').catch(() => '');
  const declared = /"outDir"\s*:\s*"(?:\.\/)?([\w./-]+?)\/?"/.exec(config)?.[1];
  if ('next' in packages) return '.next';
  if ('react-scripts' in packages) return 'build';
  return declared ?? 'dist';
}

async function lookAtGo(directory: string, names: readonly string[], { environment }: Versions): Promise<Found> {
  const text = await readFile(join(directory, 'go.mod'), 'utf8');
  const module = /^module\s+"?([^\s"]+)/m.exec(text)?.[1] ?? basename(directory);
  const application = nameFrom(
    module
      .replace(/\/v\d+$/, '')
      .split('/')
      .at(-1) ?? module,
  );
  const mains = await mainPackages(directory, names);
  const main = mains.find((one) => one === '.' || one.endsWith(`/${application}`)) ?? mains[0];
  const declared = (/^toolchain go(\d+\.\d+\.\d+)$/m.exec(text) ?? /^go (\d+\.\d+\.\d+)$/m.exec(text))?.[1];
  const go = (await goVersion(environment)) ?? declared ?? '1.26.8';
  const required = /^\s*(?:require\s+)?\S+\.\S+\/\S+ v\d/m.test(text);
  const files = names.filter((name) => ['ui', 'static', 'templates', 'public', 'assets', 'web', 'views', 'migrations'].includes(name));
  const tests = await hasFile(directory, /_test\.go$/);
  const what = [
    'Go application',
    module,
    main === undefined ? 'no main package at the top or in cmd/' : `main package ${main === '.' ? 'at the top' : main}`,
    ...(tests ? ['has tests'] : []),
  ];
  const hints =
    main === undefined
      ? ['no main package was found: see to the build stage in cairn.yaml']
      : mains.length > 1
        ? [`other main packages: ${mains.filter((one) => one !== main).join(', ')}: make components of them`]
        : [];
  if (required && !names.includes('go.sum') && !names.includes('vendor')) hints.push('go.mod requires modules and there is no go.sum: go mod tidy');
  return { what, hints, text: goText({ application, go, main: main ?? '.', downloads: required && !names.includes('vendor'), files, tests }) };
}

async function mainPackages(directory: string, names: readonly string[]): Promise<string[]> {
  const commands = names.includes('cmd')
    ? (await readdir(join(directory, 'cmd'), { withFileTypes: true })).filter((one) => one.isDirectory()).map(({ name }) => `./cmd/${name}`)
    : [];
  const found: string[] = [];
  for (const folder of ['.', ...commands.toSorted()]) {
    const files = (await readdir(join(directory, folder))).filter((name) => name.endsWith('.go') && !name.endsWith('_test.go'));
    for (const file of files) {
      if (!/^package main\b/m.test(await readFile(join(directory, folder, file), 'utf8'))) continue;
      found.push(folder);
      break;
    }
  }
  return found;
}

async function goVersion(environment: Versions['environment']): Promise<string | undefined> {
  const { PATH = '/usr/bin:/bin', HOME = '/nonexistent' } = environment;
  const told = await promisify(execFile)('go', ['env', 'GOVERSION'], { env: { PATH, HOME, GOTOOLCHAIN: 'local' } }).catch(() => ({ stdout: '' }));
  return /^go(\d+\.\d+\.\d+)$/.exec(told.stdout.trim())?.[1];
}

/** What is there for people, for tools or from them is no part of what runs. */
function filesOf(names: readonly string[]): string[] {
  const apart =
    /^(\..*|node_modules|tests?|__tests__|spec|docs?|coverage|tmp|cairn\..*|package-lock\.json|npm-shrinkwrap\.json|tsconfig.*|(vite|vitest|jest|webpack|rollup|babel|eslint)\.config.*|Dockerfile.*|Makefile|(README|LICEN[CS]E|CHANGELOG|CONTRIBUTING).*|.*\.(md|log))$/i;
  return names.filter((name) => !apart.test(name));
}

async function healthOf(directory: string, file: string | undefined): Promise<string> {
  const text = file === undefined ? '' : await readFile(join(directory, file), 'utf8').catch(() => '');
  return /['"`](\/(?:healthz|health|ready|readyz|livez|ping))['"`]/.exec(text)?.[1] ?? '/';
}

async function hasFile(directory: string, form: RegExp, depth = 4): Promise<boolean> {
  for (const entry of await readdir(directory, { withFileTypes: true })) {
    if (entry.isFile() && form.test(entry.name)) return true;
    if (
      entry.isDirectory() &&
      depth > 0 &&
      !/^(\.|node_modules$|vendor$|testdata$)/.test(entry.name) &&
      (await hasFile(join(directory, entry.name), form, depth - 1))
    )
      return true;
  }
  return false;
}

function nameFrom(text: string): string {
  const name = text
    .toLowerCase()
    .replaceAll(/[^a-z0-9-]+/g, '-')
    .replace(/^-+/, '')
    .slice(0, 63);
  return name === '' ? 'application' : name;
}
