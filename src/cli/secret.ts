import { CairnError } from '#core';
import type { Context } from './context.ts';
import { move, newestSecrets } from './moving.ts';
import { row, run, type CommonFlags } from './output.ts';
import { openSession, persist, readDefinition } from './session.ts';

/** The value comes from the terminal without echo or from standard input, never from an argument, which others can read. */
export async function put(this: Context, flags: CommonFlags, name: string, environment: string): Promise<void> {
  await run(this, flags, async () => {
    const { system } = this;
    const session = await openSession(system);
    const { application } = await readDefinition(system);
    const value = (await system.askSecret(`Value of ${name} in ${environment}: `)) ?? (await system.readInput()).replace(/\r?\n$/, '');
    if (value === '') throw new CairnError('usage', `no value was given for ${name}`, { fix: `printf %s VALUE | cairn secret put ${name} ${environment}` });
    const { version } = await persist(system, () => session.api.putSecret({ application, environment, name, value }));
    if (!flags.json) row(this, 'secret', `${name} version ${version}`, `${environment}, encrypted at rest`);
    const timeline = await persist(system, () => session.api.timeline(application, environment));
    const { live } = timeline;
    const secrets = live === undefined ? {} : await persist(system, () => newestSecrets(session, application, environment, live.release));
    if (live === undefined || secrets[name] === undefined) return { name, environment, version, moved: null };
    const moved = await move(this, session, { application, environment, release: live.release, configuration: live.configuration, secrets, head: timeline.head, reason: `secret ${name} version ${version}` }, flags.json);
    return { name, environment, version, moved };
  });
}

export async function list(this: Context, flags: CommonFlags, environment: string): Promise<void> {
  await run(this, flags, async () => {
    const { api } = await openSession(this.system);
    const { application } = await readDefinition(this.system);
    const [latest, { live }] = await Promise.all([api.secrets(application, environment), api.timeline(application, environment)]);
    if (!flags.json) for (const [name, version] of Object.entries(latest)) row(this, name, `version ${version}`, live?.secrets[name] === undefined ? 'not in use' : `version ${live.secrets[name]} runs`);
    return { environment, latest, live: live?.secrets ?? {} };
  });
}
