import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CairnError, canonicalJson, digestOf, ensureDurableDirectory, type Clock, type Digest } from '#core';
import type { ContentStore, Descriptor, Platform } from '#oci';
import { checkOut, fileAt, type Commit } from './checkout.ts';
import { parseDefinition, type Definition } from './definition.ts';
import { resolvedDependencies } from './dependencies.ts';
import { imageOf } from './image.ts';
import { layerOf, runtimeLayer, type Layer } from './layer.ts';
import { networkSettings, runStage, stageEnvironment } from './stage.ts';
import { installTools, toolchain, type Tool } from './toolchain.ts';
import { withWorkspace } from './workspace.ts';

export interface BuildOptions {
  readonly repository: string;
  readonly commit: Commit;
  readonly application: string;
  readonly store: ContentStore;
  /** Folder of what may be remembered between builds. */
  readonly cache: string;
  readonly host: Readonly<Record<string, string | undefined>>;
  readonly nodeBinary: string;
  readonly platform: Platform;
  readonly clock: Clock;
  progress(event: { stage: string; line?: string; layer?: Layer; milliseconds?: number }): void;
}

export interface Built {
  readonly definition: Definition;
  readonly toolchain: readonly Tool[];
  /** Digest of the stage definitions. */
  readonly stages: Digest;
  readonly components: readonly { readonly name: 'web'; readonly manifest: Descriptor }[];
  readonly dependencies: readonly { readonly uri: string; readonly digest: Readonly<Record<string, string>> }[];
  /** Names of the network settings that stages were lent. */
  readonly environment: readonly string[];
  readonly startedAt: string;
  readonly finishedAt: string;
}

/** Builds a commit: clean checkout at the fixed path, each stage in its scrubbed environment, one layer a stage. */
export async function buildApplication(options: BuildOptions): Promise<Built> {
  const { clock, host, store } = options;
  const path = host['PATH'] ?? '/usr/bin:/bin';
  const startedAt = seconds(clock);
  await ensureDurableDirectory(options.cache);
  return withWorkspace(options.application, 120_000, async (workspace) => {
    const source = join(workspace, 'source');
    await checkOut(host, options.repository, options.commit.commit, workspace, source);
    const definition = parseDefinition(await fileAt(source, 'cairn.yaml', 'cairn init, then commit cairn.yaml'));
    if (definition.application !== options.application) throw new CairnError('invalid-configuration', `the commit's cairn.yaml is of ${definition.application}, not of ${options.application}`, { fix: 'Commit cairn.yaml' });
    // Read before any stage runs: what the provenance says was locked must be what was committed.
    const lockfile = await readFile(join(source, 'package-lock.json'), 'utf8').catch(() => undefined);
    const platform = `${options.platform.os}/${options.platform.architecture}`;
    const tools = await toolchain(definition.toolchain, { nodeBinary: options.nodeBinary, path, platform });
    const [bin, home] = [join(workspace, 'bin'), join(workspace, 'home')];
    await installTools(tools, bin);
    await mkdir(home);
    const network = await networkSettings(host);

    const node = tools.tools[0]?.digest;
    if (node === undefined) throw new TypeError('a toolchain without Node');
    const layers = [await runtimeLayer(options.nodeBinary, node, store, options.cache)];
    for (const stage of definition.stages) {
      const start = clock.elapsed();
      if (stage.run !== undefined) {
        const run = { ...stage, run: stage.run };
        await runStage(run, source, stageEnvironment(run, bin, home, network), (line) => options.progress({ stage: stage.name, line }));
      }
      const layer = await layerOf(stage.name, source, stage.layer, 'app', store);
      layers.push(layer);
      options.progress({ stage: stage.name, layer, milliseconds: clock.elapsed() - start });
    }
    const { web } = definition.components;
    const manifest = await imageOf(layers, web.command, options.platform, store);
    return {
      definition,
      toolchain: tools.tools,
      stages: digestOf(canonicalJson(definition.stages)),
      components: [{ name: 'web', manifest }],
      dependencies: resolvedDependencies(lockfile, tools.tools),
      environment: definition.stages.some((stage) => stage.network) ? Object.keys(network).toSorted() : [],
      startedAt,
      finishedAt: seconds(clock),
    };
  });
}

function seconds(clock: Clock): string {
  return `${clock.now().toISOString().slice(0, 19)}Z`;
}
