import { CairnError, type Digest } from '#core';
import { contentHash, type Content } from './content.ts';
import type { ComponentDocument, ReleaseDocument } from './document.ts';
import type { Launch, LaunchComponent, Registry, Secrets } from './ports.ts';

export interface LaunchSources {
  readonly registry: Registry;
  readonly secrets: Secrets;
  /** `linux/amd64` */
  readonly platform: string;
}

/** How a content is started in an environment: the release's commands over its unpacked bytes, defaults under the environment's settings. */
export async function launchOf(document: ReleaseDocument, content: Content, environment: string, sources: LaunchSources): Promise<Launch> {
  const { application } = document;
  const folders = new Map<string, string>();
  for (const component of document.components) folders.set(component.name, await sources.registry.unpack(application, manifestFor(component, sources.platform)));
  const secrets: Record<string, string> = {};
  for (const [name, version] of Object.entries(content.secrets)) secrets[name] = await sources.secrets.read(application, environment, name, version);
  const files = document.components.flatMap(({ kind, name }) => (kind === 'files' ? [[`CAIRN_FILES_${variable(name)}`, `${folders.get(name)}/app`] as const] : []));
  const hash = contentHash(content);
  const components = document.components.map((component): LaunchComponent => {
    const directory = folders.get(component.name) ?? '';
    const service = { application, environment, content: hash, release: content.release, component: component.name };
    const shared = {
      LANG: 'C.UTF-8', ...document.configuration, ...content.configuration, ...secrets, ...Object.fromEntries(files),
      PATH: `${directory}/runtime/bin:/usr/local/bin:/usr/bin:/bin`,
      ...identity(service),
    };
    return { ...plain(component), name: component.name, kind: component.kind, directory, environment: component.kind === 'files' ? {} : shared, runtime: runtimeOf(document, component, sources.platform) };
  });
  const { schema } = document;
  const asked = schema === null || (schema.command === undefined && schema.file === undefined) ? null : schema;
  const speaker = asked?.component ?? document.components.find(({ kind }) => kind !== 'files')?.name;
  return { components, schema: asked === null || speaker === undefined ? null : { component: speaker, command: asked.command ?? null, file: asked.file ?? null } };
}

function manifestFor(component: ComponentDocument, platform: string): Digest {
  const manifest = component.platforms.find((one) => one.platform === platform);
  if (manifest !== undefined) return manifest.digest;
  throw new CairnError('not-found', `the release has no ${component.name} that runs on ${platform}`, { fix: `Release it on ${platform}` });
}

function identity(of: { application: string; environment: string; content: Digest; release: Digest; component: string }): Record<string, string> {
  const { application, environment, content, release, component } = of;
  const resource = { 'service.name': `${application}.${component}`, 'service.version': release, 'deployment.environment.name': environment, 'cairn.content': content };
  return {
    CAIRN_RELEASE: release, CAIRN_APPLICATION: application, CAIRN_ENVIRONMENT: environment, CAIRN_COMPONENT: component,
    OTEL_RESOURCE_ATTRIBUTES: Object.entries(resource).map(([key, value]) => `${key}=${value}`).join(','),
  };
}

function variable(name: string): string {
  return name.toUpperCase().replaceAll('-', '_');
}

/** The kind's own settings; what a kind does not have is null, empty or zero. */
function plain(component: ComponentDocument): Omit<LaunchComponent, 'name' | 'kind' | 'directory' | 'environment' | 'runtime'> {
  const none = { command: [], health: null, instances: 0, routes: [], schedule: null, overlap: false, timeoutMs: null, data: [], limits: null };
  if (component.kind === 'files') return { ...none, routes: hosts(component.routes) };
  const { command, data = [] } = component;
  const limits = component.limits === undefined ? null : { memoryMb: component.limits.memoryMb ?? null, cpus: component.limits.cpus ?? null };
  const runs = { ...none, command, data, limits };
  switch (component.kind) {
    case 'web':
      return { ...runs, health: component.health, instances: component.instances, routes: hosts(component.routes ?? [{ path: '/' }]) };
    case 'worker':
      return { ...runs, instances: component.instances, overlap: component.overlap === true };
    case 'cron':
      return { ...runs, schedule: component.schedule, timeoutMs: component.timeoutMs };
    case 'task':
      return { ...runs, timeoutMs: component.timeoutMs };
    default:
      return component satisfies never;
  }
}

function hosts(routes: readonly { host?: string | undefined; path: string }[] = []): { host: string | null; path: string }[] {
  return routes.map(({ host = null, path }) => ({ host, path }));
}

/** The Node that the release carries: its hash is checked at every start, so that one digest never runs differently. */
function runtimeOf(document: ReleaseDocument, component: ComponentDocument, platform: string): LaunchComponent['runtime'] {
  const node = document.toolchain.find((tool) => tool.name === 'node' && tool.platform === platform);
  return node === undefined || component.kind === 'files' ? null : { path: 'runtime/bin/node', digest: node.digest };
}
