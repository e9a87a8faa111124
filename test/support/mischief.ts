import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { commitAll, Machine } from './machine.ts';

// An application that misbehaves as its settings tell it to: crashes, falls ill, never gets well, needs another schema.

const server = `
import { createServer } from 'node:http';
import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
const { env } = process;
const data = env.CAIRN_DATA_STATE;
const mode = process.argv[2] ?? 'web';
if (mode === 'migrate') {
  if (env.MIGRATION === 'fails') { console.error('cannot migrate'); process.exit(3); }
  writeFileSync(data + '/schema', env.SCHEMA ?? '1');
  process.exit(0);
}
if (mode === 'worker') {
  const note = (what) => appendFileSync(data + '/worker.log', JSON.stringify({ what, pid: process.pid, release: env.CAIRN_RELEASE, greeting: env.GREETING, at: Date.now() }) + '\\n');
  note('start');
  if (env.WORKER === 'dies') setTimeout(() => process.exit(1), 100);
  process.once('SIGTERM', () => setTimeout(() => { note('stop'); process.exit(0); }, 50));
  setInterval(() => {}, 1000);
} else {
  const born = Date.now();
  const after = (name) => env[name] !== undefined && Date.now() - born > Number(env[name]);
  if (env.CRASH_AFTER !== undefined) setTimeout(() => process.exit(1), Number(env.CRASH_AFTER));
  createServer((request, response) => {
    if (request.url === '/healthz') { response.writeHead(env.ILL === 'always' || after('ILL_AFTER') ? 500 : 200).end(); return; }
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify({ greeting: env.GREETING, key: env.API_KEY ?? null, release: env.CAIRN_RELEASE, resource: env.OTEL_RESOURCE_ATTRIBUTES, pid: process.pid }));
  }).listen(Number(env.PORT), env.HOST);
  process.once('SIGTERM', () => process.exit(0));
}
`;

export interface Mischief {
  /** Lines of cairn.yaml below the components. */
  readonly more?: string;
  readonly components?: string;
  readonly confirmSeconds?: number;
}

export const web = 'web: { kind: web, command: [node, server.js], health: { path: /healthz, deadlineMs: 4000 } }';

/** A machine whose application is the misbehaving one, not yet initialised. */
export async function mischief(t: TestContext, wanted: Mischief = {}): Promise<Machine> {
  const machine = await Machine.make(t);
  await mkdir(machine.repository, { recursive: true });
  await writeFile(join(machine.repository, 'server.js'), server);
  await define(machine, wanted);
  return machine;
}

/** Another cairn.yaml, committed: another release. */
export async function define(machine: Machine, { more = '', components = web, confirmSeconds = 2 }: Mischief, settings: Record<string, string> = {}): Promise<void> {
  const configuration = { GREETING: 'one', ...settings };
  const lines = Object.entries(configuration).map(([name, value]) => `  ${name}: ${JSON.stringify(value)}\n`).join('');
  await writeFile(
    join(machine.repository, 'cairn.yaml'),
    `application: hello\ntoolchain: { node: ${process.versions.node} }\nstages:\n  - { name: application, layer: [server.js, package.json] }\n` +
      `components:\n${components.split('\n').map((line) => `  ${line}\n`).join('')}confirm: { seconds: ${confirmSeconds} }\nconfiguration:\n${lines}${more}\n`,
  );
  await commitAll(machine.repository, JSON.stringify(settings));
}
