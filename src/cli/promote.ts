import type { Context } from './context.ts';
import { assignments, move, newestSecrets } from './moving.ts';
import { drain } from './outbox.ts';
import { run, type CommonFlags } from './output.ts';
import { openSession, persist, readDefinition, resolveRelease } from './session.ts';

export interface PromoteFlags extends CommonFlags {
  readonly traffic?: number;
  readonly config?: readonly string[];
  readonly reason?: string;
}

export async function promote(this: Context, flags: PromoteFlags, reference: string, environment: string): Promise<void> {
  await run(this, flags, async () => {
    const { system } = this;
    const session = await openSession(system);
    await drain(this, session, flags.json);
    const { application } = await readDefinition(system);
    const release = await persist(system, () => resolveRelease(session.api, application, reference));
    const { head, live } = await persist(system, () => session.api.timeline(application, environment));
    const secrets = await persist(system, () => newestSecrets(session, application, environment, release));
    // The environment's settings stay as they are; a change of theirs is a change of its own.
    const configuration = { ...live?.configuration, ...assignments(flags.config ?? []) };
    return move(this, session, { application, environment, release, configuration, secrets, head, reason: flags.reason, share: flags.traffic }, flags.json);
  });
}
