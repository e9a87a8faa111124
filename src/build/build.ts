import { chmod, chown, lchown, readdir, realpath } from 'node:fs/promises';
import { availableParallelism, totalmem } from 'node:os';
import { join } from 'node:path';
import { CairnError, canonicalJson, digestOf, ensureDurableDirectory, exists, type Clock, type Digest } from '#core';
import { openIsolation, unconfined, type Isolation, type Limits } from '#isolation';
import type { ContentStore, Descriptor, Platform } from '#oci';
import { checkOut, fileAt } from './checkout.ts';
import type { Commit } from './commit.ts';
import { layersOf } from './definition-checks.ts';
import type { Definition, Stage } from './definition-schema.ts';
import { parseDefinition } from './definition.ts';
import { goModules } from './go-modules.ts';
import { imageOf } from './image.ts';
import { layerOf, runtimeLayer, type Layer } from './layer.ts';
import { installedIn, npmLock } from './npm-lock.ts';
import { nothingLocked, type Locked } from './package.ts';
import { runStage } from './stage.ts';
import { surroundings } from './surroundings.ts';
import { TestCounter, type TestCounts } from './test-counts.ts';
import { toolchain, type Tool } from './toolchain.ts';
import { interrupted, withWorkspace } from './workspace.ts';

export type BuildEvent =
  | { readonly kind: 'waiting' }
  | { readonly kind: 'started'; readonly stage: Stage }
  | { readonly kind: 'line'; readonly stage: Stage; readonly line: string }
  | { readonly kind: 'done'; readonly stage: Stage; readonly milliseconds: number; readonly layer: Layer | null; readonly tests: TestCounts | null };

export interface BuildOptions {
  readonly repository: string;
  readonly commit: Commit;
  readonly application: string;
  readonly store: ContentStore;
  /** Folder of what may be remembered between builds. */
  readonly cache: string;
  /** Folder of which user is whose, the one that applications of this home are confined with. */
  readonly users: string;
  readonly host: Readonly<Record<string, string | undefined>>;
  readonly nodeBinary: string;
  readonly platform: Platform;
  readonly clock: Clock;
  /** Ends the build, its stages and its workspace. */
  readonly signal: AbortSignal;
  progress(event: BuildEvent): void;
}

export interface Built {
  readonly definition: Definition;
  readonly toolchain: readonly Tool[];
  /** Digest of the stage definitions. */
  readonly stages: Digest;
  readonly components: readonly { readonly name: string; readonly manifest: Descriptor }[];
  readonly locked: Locked;
  /** purls of the locked packages that were fetched: those that run, and those for development that a stage installed. */
  readonly fetched: ReadonlySet<string>;
  /** Of the stage named test; null where there is none. */
  readonly tests: TestCounts | null;
  /** How the stages were kept from the rest of the machine; null where none ran. */
  readonly isolation: { readonly users: boolean; readonly limits: boolean; readonly reason: string | null } | null;
  /** Names of the network settings that stages were lent. */
  readonly environment: readonly string[];
  readonly startedAt: string;
  readonly finishedAt: string;
}

/** Builds a commit: clean checkout at the fixed path, each stage in its scrubbed environment, one layer a stage, one image a component. */
export async function buildApplication(options: BuildOptions): Promise<Built> {
  const { application, cache, users, signal } = options;
  await ensureDurableDirectory(cache);
  const isolation = await openIsolation({ folder: users });
  const uid = await userOf(isolation, application);
  return withWorkspace({ application, waitMs: 120_000, signal, waiting: () => options.progress({ kind: 'waiting' }) }, (workspace) => buildIn(workspace, { isolation, uid }, options)).catch((error: unknown) => {
    const { code, path = cache } = error as NodeJS.ErrnoException;
    if (code !== 'ENOSPC' && code !== 'EDQUOT') throw error;
    throw new CairnError('storage-full', `the disk is full: ${path}; nothing was published`, { cause: error, fix: 'Free space, then: cairn release' });
  });
}

async function buildIn(workspace: string, { isolation, uid }: { isolation: Isolation; uid: number | null }, options: BuildOptions): Promise<Built> {
  const { clock, host, store, signal } = options;
  const startedAt = seconds(clock);
  const source = join(workspace, 'source');
  await checkOut(host, options.repository, options.commit, workspace, source);
  const definition = parseDefinition(await fileAt(source, 'cairn.yaml', 'cairn init, then commit cairn.yaml'));
  if (definition.application !== options.application)
    throw new CairnError('invalid-configuration', `the commit's cairn.yaml is of ${definition.application}, not of ${options.application}`, {
      fix: 'Commit cairn.yaml',
    });
  // Node looks for modules upwards, into a folder where anybody may make one.
  if (await exists('/tmp/node_modules'))
    throw new CairnError('invalid-configuration', '/tmp/node_modules would be read by the build, which stands below it', { fix: 'Remove /tmp/node_modules' });
  const platform = `${options.platform.os}/${options.platform.architecture}`;
  // Read before any stage runs: what the provenance says was locked must be what was committed.
  const locked = await lockedIn(definition, source, platform);
  const limits = limitsOf(definition);
  const runs = definition.stages.some(({ run }) => run !== undefined);
  const tools = await toolchain(definition.toolchain, {
    nodeBinary: options.nodeBinary,
    host,
    platform,
    install: runs ? { workspace, othersRun: uid !== null } : undefined,
  });
  const around = await surroundings({
    workspace,
    host,
    uid,
    tools,
    keepsDownloads: definition.stages.some(({ run, network }) => run !== undefined && network),
  });
  if (uid !== null) await handOver(workspace, source, uid);
  const runtime = tools.node === undefined ? [] : [await runtimeLayer(tools.node.path, tools.node.digest, store, options.cache)];

  const layers = new Map<string, Layer>();
  const fetched = new Set(locked.packages.filter((one) => one.runtime).map(({ purl }) => purl));
  let tests: TestCounts | null = null;
  for (const stage of definition.stages) {
    if (signal.aborted) throw interrupted();
    const start = clock.elapsed();
    const counter = stage.name === 'test' ? new TestCounter() : null;
    options.progress({ kind: 'started', stage });
    if (stage.run !== undefined) {
      const confined = await isolation.confine(nameOf(options.application), limits);
      const takeBack = await around.lend(stage);
      try {
        const line = (text: string) => {
          counter?.line(text);
          options.progress({ kind: 'line', stage, line: text });
        };
        await runStage({ name: stage.name, run: stage.run, directory: source, environment: around.environment(stage), confined, signal, line });
      } finally {
        await confined.close();
        await takeBack();
      }
      if (stage.network) for (const purl of await installedIn(source)) fetched.add(purl);
    }
    const layer = stage.layer === undefined ? null : await layerOf(stage.name, await folderOf(source, stage.from), stage.layer, 'app', store, uid);
    if (layer !== null) layers.set(stage.name, layer);
    if (counter !== null) tests = counter.counts();
    options.progress({ kind: 'done', stage, milliseconds: clock.elapsed() - start, layer, tests: counter?.counts() ?? null });
  }
  const components = [];
  for (const [name, component] of Object.entries(definition.components)) {
    const own = layersOf(component, definition.stages).flatMap((stage) => layers.get(stage) ?? []);
    // Files run nothing, so that they carry no runtime.
    const [all, command] = component.kind === 'files' ? [own, undefined] : [[...runtime, ...own], component.command];
    components.push({ name, manifest: await imageOf(all, command, options.platform, store) });
  }
  if (signal.aborted) throw interrupted();
  const { users, limits: limited, reason } = isolation;
  return {
    definition,
    toolchain: tools.tools,
    stages: digestOf(canonicalJson(definition.stages)),
    components,
    locked,
    fetched,
    tests,
    isolation: runs ? { users, limits: limited, reason } : null,
    environment: definition.stages.some((stage) => stage.network) ? around.lent : [],
    startedAt,
    finishedAt: seconds(clock),
  };
}

/** A stage may have put a link in the folder's place, that leads out of the checkout. */
async function folderOf(source: string, from: string | undefined): Promise<string> {
  if (from === undefined) return source;
  const folder = await realpath(join(source, from)).catch((cause: unknown) => {
    throw new CairnError('stage-failed', `there is no folder ${from} to make a layer from`, { cause, fix: 'Mend from: in cairn.yaml' });
  });
  const base = await realpath(source);
  if (folder !== base && !folder.startsWith(`${base}/`))
    throw new CairnError('stage-failed', `the folder ${from} leads out of the repository`, { fix: 'Name the folder itself' });
  return folder;
}

async function userOf(isolation: Isolation, application: string): Promise<number | null> {
  const confined = await isolation.confine(nameOf(application), unconfined.limits);
  await confined.close();
  return confined.uid;
}

/** Where nothing is declared, stages leave something of the machine to what runs on it. */
function limitsOf({ limits = {} }: Definition): Limits {
  const { memoryMb = Math.max(32, Math.floor((totalmem() / 2 ** 20) * 0.8)), cpus = availableParallelism() * 0.9 } = limits;
  return { memoryMb, cpus };
}

/** No environment is called so, since parts of other names are joined with a dot. */
function nameOf(application: string): string {
  return `build-${application}`;
}

async function lockedIn({ toolchain: { node, go } }: Definition, source: string, platform: string): Promise<Locked> {
  const [npm, modules] = [node === undefined ? nothingLocked : await npmLock(source, platform), go === undefined ? nothingLocked : await goModules(source)];
  return { packages: [...npm.packages, ...modules.packages], direct: [...npm.direct, ...modules.direct] };
}

/** The checkout becomes the stages' user's; that user may pass through the workspace, and nobody else. */
async function handOver(workspace: string, source: string, uid: number): Promise<void> {
  const own = async (folder: string): Promise<void> => {
    for (const entry of await readdir(folder, { withFileTypes: true })) {
      const path = join(folder, entry.name);
      if (entry.isDirectory()) await own(path);
      await lchown(path, uid, uid);
    }
  };
  await own(source);
  await chown(source, uid, uid);
  await chmod(source, 0o700);
  await chown(workspace, 0, uid);
  await chmod(workspace, 0o710);
}

function seconds(clock: Clock): string {
  return `${clock.now().toISOString().slice(0, 19)}Z`;
}
