import { CairnError, shortDigest } from '#core';
import type { Context } from './context.ts';
import { requireLive } from './moving.ts';
import { row, run, type CommonFlags } from './output.ts';
import { openSession, ownSigner, persist, personName, readDefinition, signRequest } from './session.ts';

/** Percent of new clients that the live revision gets. A client that it has keeps it while the number grows. */
export async function traffic(this: Context, flags: CommonFlags, environment: string, percent: number): Promise<void> {
  await run(this, flags, async () => {
    const { system } = this;
    if (!Number.isInteger(percent) || percent < 1 || percent > 100) throw new CairnError('usage', 'the share is a whole number from 1 to 100', { fix: `cairn traffic ${environment} 50; to go back: cairn rollback ${environment}` });
    const { api, home } = await openSession(system, { send: false });
    const { application } = await readDefinition(system);
    const timeline = await persist(system, () => api.timeline(application, environment));
    const { release } = requireLive(timeline);
    const signed = signRequest(await ownSigner(system, home), release, {
      action: 'traffic', application, environment, by: personName(system), nonce: system.random(16), head: timeline.head,
      configuration: {}, secrets: {}, restores: null, reason: null, share: percent,
    });
    await persist(system, () => api.traffic(signed));
    if (!flags.json) row(this, 'traffic', `${application} ${shortDigest(release)}`, `${percent} % of new clients in ${environment}`);
    return { release, environment, share: percent };
  });
}
