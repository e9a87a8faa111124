import { shortDigest } from '#core';
import type { Context } from './context.ts';
import { row, run, type CommonFlags } from './output.ts';
import { openSession, ownSigner, persist, personName, readDefinition, resolveRelease, signRequest } from './session.ts';

export async function resume(this: Context, flags: CommonFlags & { reason?: string }, reference: string, environment: string): Promise<void> {
  await run(this, flags, async () => {
    const { system } = this;
    const { api, home } = await openSession(system);
    const { application } = await readDefinition(system);
    const release = await resolveRelease(api, application, reference);
    const signed = signRequest(await ownSigner(system, home), release, {
      action: 'resume', application, environment, by: personName(system), nonce: system.random(16), head: null,
      configuration: {}, secrets: {}, restores: null, reason: flags.reason ?? null,
    });
    await persist(system, () => api.resume(signed));
    if (!flags.json) row(this, 'resumed', `${application} ${shortDigest(release)}`, `cairn promote ${shortDigest(release)} ${environment}`);
    return { release, environment };
  });
}
