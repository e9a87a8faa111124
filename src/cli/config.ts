import { CairnError, shortDigest } from '#core';
import { configurationDigest } from '#release';
import type { Context } from './context.ts';
import { assignments, move, newestSecrets, requireLive } from './moving.ts';
import { row, run, type CommonFlags } from './output.ts';
import { openSession, persist, readDefinition } from './session.ts';

/** A change of settings is a revision of its own: the same release through the same gate and the same switch. */
export async function set(this: Context, flags: CommonFlags & { unset?: readonly string[]; reason?: string }, environment: string, ...settings: string[]): Promise<void> {
  await run(this, flags, async () => {
    const { system } = this;
    const session = await openSession(system);
    const { application } = await readDefinition(system);
    const timeline = await persist(system, () => session.api.timeline(application, environment));
    const live = requireLive(timeline);
    const unset = new Set(flags.unset ?? []);
    if (settings.length === 0 && unset.size === 0) throw new CairnError('usage', 'no setting was given', { fix: `cairn config set ${environment} NAME=VALUE` });
    const absent = [...unset].find((name) => !(name in live.configuration));
    if (absent !== undefined) throw new CairnError('usage', `${environment} has no setting ${absent}`, { fix: `cairn config list ${environment}` });
    const kept = Object.entries(live.configuration).filter(([name]) => !unset.has(name));
    const configuration = { ...Object.fromEntries(kept), ...assignments(settings) };
    if (!flags.json) row(this, 'configuration', `${shortDigest(configurationDigest(live.configuration))} -> ${shortDigest(configurationDigest(configuration))}`, environment);
    const secrets = await persist(system, () => newestSecrets(session, application, environment, live.release));
    return move(this, session, { application, environment, release: live.release, configuration, secrets, head: timeline.head, reason: flags.reason }, flags.json);
  });
}

export async function list(this: Context, flags: CommonFlags, environment: string): Promise<void> {
  await run(this, flags, async () => {
    const { system } = this;
    const { api } = await openSession(system);
    const { application } = await readDefinition(system);
    const { live } = await api.timeline(application, environment);
    const defaults = live === undefined ? {} : (await api.document(application, live.release)).configuration;
    const configuration = live?.configuration ?? {};
    if (!flags.json) {
      for (const [name, value] of Object.entries({ ...defaults, ...configuration }).toSorted(([a], [b]) => (a < b ? -1 : 1))) row(this, name, value, name in configuration ? environment : 'default of the release');
    }
    return { environment, configuration, defaults, digest: configurationDigest(configuration) };
  });
}
