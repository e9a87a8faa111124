import { CairnError } from '#core';
import type { ReleaseDocument } from './document.ts';
import type { Launch, Registry, Revision } from './ports.ts';

/** How a revision is started: the release's command over its unpacked bytes, defaults under the environment's settings. */
export async function launchOf(document: ReleaseDocument, revision: Revision, platform: string, registry: Registry): Promise<Launch> {
  const [component] = document.components;
  const manifest = component?.platforms.find((one) => one.platform === platform);
  if (component === undefined || manifest === undefined) {
    throw new CairnError('not-found', `the release has nothing that runs on ${platform}`, { fix: `Release it on ${platform}` });
  }
  const directory = await registry.unpack(document.application, manifest.digest);
  return {
    directory,
    command: component.command,
    environment: {
      LANG: 'C.UTF-8',
      ...document.configuration,
      ...revision.configuration,
      PATH: `${directory}/runtime/bin:/usr/bin:/bin`,
      CAIRN_RELEASE: revision.release,
      CAIRN_APPLICATION: document.application,
      CAIRN_ENVIRONMENT: revision.environment,
    },
    health: component.health,
    instances: component.instances,
  };
}
