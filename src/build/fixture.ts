import { execFileSync } from 'node:child_process';
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { after } from 'node:test';
import { fixedClock } from '#core';
import { memoryStore, type ContentStore } from '#oci';
import { buildApplication, resolveCommit, type BuildEvent, type Commit } from '#build';

// What tests of builds share: repositories, a small Node, a build of them. Each file builds an application of its own name.

const lent = process.env['CAIRN_TEST_SCRATCH'];
/** Of a process that is to be killed it is its parent's. */
export const scratch = lent ?? (await mkdtemp('/tmp/cairn-build-test-'));
if (lent === undefined) after(() => rm(scratch, { recursive: true, force: true }));

export const plainHost = { PATH: process.env['PATH'] ?? '/usr/bin:/bin', HOME: scratch };
export const isRoot = process.getuid?.() === 0;

export function yamlFor(application: string, run: string, network = false): string {
  return `application: ${application}
toolchain: { node: ${process.versions.node} }
stages: [{ name: one, run: ${JSON.stringify(run)}, network: ${network}, layer: [out] }]
components: { web: { kind: web, command: [node, out/server.js], health: { path: / } } }
`;
}

export function git(folder: string, ...parameters: string[]): string {
  return execFileSync('git', ['-c', 'user.name=A', '-c', 'user.email=a@example.com', '-c', 'init.defaultBranch=main', ...parameters], {
    cwd: folder,
    encoding: 'utf8',
  });
}

export async function repository(files: Record<string, string>): Promise<string> {
  const folder = await mkdtemp(join(scratch, 'repository-'));
  git(folder, 'init', '-q');
  for (const [file, text] of Object.entries(files)) {
    await mkdir(join(folder, dirname(file)), { recursive: true });
    await writeFile(join(folder, file), text);
  }
  git(folder, 'add', '.');
  git(folder, 'commit', '-qm', 'First');
  return folder;
}

/** A stand-in for Node that is small to compress and starts the real one. */
async function smallNode(): Promise<string> {
  const file = join(scratch, 'node');
  await writeFile(file, `#!/bin/sh\nexec '${process.execPath}' "$@"\n`);
  await chmod(file, 0o755);
  return file;
}

export interface Trial {
  readonly application: string;
  readonly host?: Record<string, string | undefined>;
  readonly commit?: Commit;
  readonly store?: ContentStore;
  readonly signal?: AbortSignal;
  readonly cache?: string;
  onEvent?(event: BuildEvent): unknown;
}

export async function buildOf(folder: string, trial: Trial) {
  const store = trial.store ?? memoryStore();
  const lines: string[] = [];
  const built = await buildApplication({
    repository: folder,
    commit: trial.commit ?? (await resolveCommit(plainHost, folder)),
    application: trial.application,
    store,
    cache: trial.cache ?? (await mkdtemp(join(scratch, 'cache-'))),
    users: join(scratch, 'users'),
    host: { ...plainHost, ...trial.host },
    nodeBinary: await smallNode(),
    platform: { os: 'linux', architecture: 'amd64' },
    clock: fixedClock('2026-01-02T03:04:05Z'),
    signal: trial.signal ?? new AbortController().signal,
    progress: (event) => {
      if (event.kind === 'line') lines.push(event.line);
      trial.onEvent?.(event);
    },
  });
  return { built, lines, store, digest: built.components[0]?.manifest.digest };
}
