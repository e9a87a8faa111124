import { stringify } from 'yaml';

// The cairn.yaml that init writes. Each line says what it is for: it is the first page of Cairn's manual that most people read.

interface NodeApplication {
  readonly application: string;
  readonly node: string;
  readonly start: readonly string[] | undefined;
  /** The folder that `npm run build` makes, if there is such a script. */
  readonly output: string | undefined;
  readonly files: readonly string[];
  readonly tests: boolean;
  readonly installs: boolean;
  /** Whether build or tests need packages for development. */
  readonly installsAll: boolean;
  readonly health: string;
}

interface GoApplication {
  readonly application: string;
  readonly go: string;
  readonly main: string;
  readonly downloads: boolean;
  readonly files: readonly string[];
  readonly tests: boolean;
}

const head = (application: string) => `# What Cairn builds and runs. Unknown keys are errors. This file is part of what a release's digest binds.

application: ${application}
# source: https://example.com/${application}.git   # where the source lives, if releases should say so; Git remotes are never read
`;

const stagesHead = `
# Stages run in order in a clean checkout of the commit, and see none of your environment. A stage with \`layer\` makes one image
# layer of those paths. What changes rarely comes first: a layer that did not change is not stored or moved again.
stages:
`;

const tail = `
# Defaults of environment variables. \`cairn config set\` changes them for one environment, as a revision of its own.
# configuration:
#   GREETING: hello

# Names only; values come from \`cairn secret put\`. follow: always the newest version; pin: the version goes back with the release.
# secrets:
#   DATABASE_URL: follow

# After a promotion it is watched this long, and Cairn goes back by itself if it crashes or stops being healthy.
confirm: { seconds: 10 }
`;

const install = (more: string) => `npm ci${more} --ignore-scripts --no-audit --no-fund`;

export function nodeText(of: NodeApplication): string {
  const isSite = of.start === undefined && of.output !== undefined;
  const stages = [
    of.installs &&
      !isSite &&
      stage(
        'dependencies',
        { run: install(' --omit=dev'), network: true, layer: ['node_modules'] },
        {
          name: 'what runs needs; take --ignore-scripts out if a package must compile something',
          network: 'only such a stage is lent registry, proxy and CA settings',
        },
      ),
    (of.installsAll || (isSite && of.installs)) &&
      stage('tools', { run: install(''), network: true }, { name: 'also what only build and tests need; it makes no layer, so that none of it is released' }),
    of.output !== undefined &&
      stage('build', { run: 'npm run build', ...(isSite ? { from: of.output, layer: ['.'] } : { layer: [of.output] }) }, { layer: 'what the build made' }),
    !isSite && of.files.length > 0 && stage('application', { layer: of.files }, { layer: 'files as they were committed: take out what does not run' }),
    of.tests && stage('test', { run: 'npm test' }, { name: 'the stage of this name is the tests: their outcome is signed, and production asks for it' }),
  ];
  const web = `  web:
    kind: web                     # others: worker, cron, task (once before a release takes traffic, such as a migration), files
    command: ${flow(of.start ?? ['node', 'server.js'])}
    ${`health: { path: ${of.health} }`.padEnd(29)} # it is ready when this answers; or { tcp: true }
    instances: 1                  # a second one costs memory and buys a release that survives one crash
    # data: [files]               # folders that outlive releases, as CAIRN_DATA_FILES
    # limits: { memoryMb: 512, cpus: 1 }
`;
  return `${head(of.application)}
toolchain:
  node: ${of.node}                   # exact${isSite ? '' : '; also the Node that the release runs on'}
${stagesHead}${stages.filter((one) => one !== false).join('')}
# What runs. It is started with HOST and PORT set, and told to end by SIGTERM.
components:
${isSite ? site('build') : web}${tail}`;
}

export function goText(of: GoApplication): string {
  const binary = `bin/${of.application}`;
  const stages = [
    of.downloads && stage('modules', { run: 'go mod download', network: true }, { network: 'only such a stage is lent proxy and CA settings' }),
    stage('build', { run: `go build -ldflags="-s -w" -o ${binary} ${of.main}`, layer: ['bin'] }, { name: 'CGO_ENABLED=0 and -trimpath are set' }),
    of.files.length > 0 && stage('application', { layer: of.files }, { layer: 'files as they were committed: take out what does not run' }),
    of.tests &&
      stage('test', { run: 'go test -v ./...' }, { name: 'the stage of this name is the tests: their outcome is signed, and production asks for it' }),
  ];
  return `${head(of.application)}
toolchain:
  go: ${of.go}                      # exact
${stagesHead}${stages.filter((one) => one !== false).join('')}
# What runs. It is started with HOST and PORT set, and told to end by SIGTERM.
components:
  web:
    kind: web                     # others: worker, cron, task (once before a release takes traffic, such as a migration), files
    ${`command: [${binary}]`.padEnd(29)} # with flags: [sh, -c, 'exec ${binary} --port="$PORT"']
    health: { path: / }           # it is ready when this answers; or { tcp: true }
    instances: 1                  # a second one costs memory and buys a release that survives one crash
    # data: [files]               # folders that outlive releases, as CAIRN_DATA_FILES
    # limits: { memoryMb: 512, cpus: 1 }
${tail}`;
}

export function staticText(of: { application: string; from: string | null; layer: readonly string[] }): string {
  return `${head(of.application)}${stagesHead}${stage('site', { ...(of.from !== null && { from: of.from }), layer: of.layer }, { name: 'without `run`: files as they were committed', from: 'paths of the layer are in here, and lose it' })}
# What is served: the gateway does it itself, with index.html for folders.
components:
${site('site')}${tail}`;
}

export function exampleText(application: string): string {
  return `${head(application)}
# This is an example: Cairn did not recognise the application. Each line can be changed; \`toolchain\` can also name node or go.
toolchain: {}                     # of tools by exact version, such as { node: 26.10.0 } or { go: 1.26.8 }
${stagesHead}${stage('build', { run: 'make', layer: ['bin'] }, { run: 'a command of the shell', layer: 'what it made and the release carries' })}  # - name: dependencies
  #   run: make download
  #   network: true               # only such a stage is lent registry, proxy and CA settings
  # - name: test                  # the stage of this name is the tests: their outcome is signed, and gates can ask for it
  #   run: make test

# What runs. It is started with HOST and PORT set, and told to end by SIGTERM.
components:
  web:
    kind: web                     # answers requests
    command: [bin/${application}]
    health: { path: / }           # it is ready when this answers; or { tcp: true }
    instances: 1
    # routes: [{ host: shop.example.com, path: / }]   # what of the traffic it gets; all, if left out
    # layers: [build]             # of which stages' layers it is made; all, if left out
    # data: [files]               # folders that outlive releases, as CAIRN_DATA_FILES
    # limits: { memoryMb: 512, cpus: 1 }
  # mails:
  #   kind: worker                # runs all the time, without requests
  #   command: [bin/mails]
  # nightly:
  #   kind: cron
  #   command: [bin/nightly]
  #   schedule: "30 2 * * *"      # minute hour day month weekday, UTC
  # migrate:
  #   kind: task                  # runs to its end before a release takes traffic
  #   command: [bin/migrate]
  # assets:
  #   kind: files                 # served by the gateway
  #   routes: [{ path: /assets }]
${tail}`;
}

const site = (layer: string) => `  site:
    kind: files
    layers: [${layer}]
    routes: [{ path: / }]         # add host: www.example.com where one gateway serves several
`;

interface StageText {
  readonly run?: string;
  readonly network?: true;
  readonly from?: string;
  readonly layer?: readonly string[];
}

function stage(name: string, keys: StageText, comments: Readonly<Partial<Record<'name' | keyof StageText, string>>>): string {
  const lines = Object.entries({ name, ...keys }).map(([key, value], at) => {
    const line = `${at === 0 ? '  - ' : '    '}${key}: ${Array.isArray(value) ? flow(value) : typeof value === 'string' ? scalar(value) : String(value)}`;
    const comment = comments[key as 'name'];
    return comment === undefined ? line : `${line.padEnd(33)} # ${comment}`;
  });
  return `${lines.join('\n')}\n`;
}

/** `[a, b]`, with quotes where YAML needs them. */
function flow(words: readonly string[]): string {
  return stringify([...words], { collectionStyle: 'flow', lineWidth: 0, flowCollectionPadding: false }).trim();
}

function scalar(text: string): string {
  return stringify(text, { lineWidth: 0 }).trim();
}
