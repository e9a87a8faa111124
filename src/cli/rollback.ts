import { shortDigest } from '#core';
import type { Context } from './context.ts';
import { row, run, type CommonFlags } from './output.ts';
import { openSession, persist, personName, readDefinition } from './session.ts';

export async function rollback(this: Context, flags: CommonFlags & { reason?: string }, environment: string): Promise<void> {
  await run(this, flags, async () => {
    const { system } = this;
    const { api } = await openSession(system);
    const { application } = await readDefinition(system);
    const wanted = { operation: system.random(16), application, environment, by: personName(system), reason: flags.reason ?? null };
    const moved = await persist(system, () => api.rollback(wanted));
    if (!flags.json) {
      const { revision, from, switchedMs } = moved;
      row(this, 'switched', `${from === null ? '' : `${shortDigest(from)} -> `}${shortDigest(revision.release)}`, switchedMs === null ? '' : `in ${switchedMs.toFixed(1)} ms`);
      if (from !== null) row(this, 'held', `${shortDigest(from)} may not return to ${environment}`, `cairn resume ${shortDigest(from)} ${environment}`);
      row(this, 'recorded', `revision ${revision.number}, restores ${revision.restores}`, revision.reason ?? '');
    }
    return moved;
  });
}
