import { shortDigest } from '#core';
import type { Context } from './context.ts';
import { row, run, type CommonFlags } from './output.ts';
import { openSession, ownSigner, persist, personName, readDefinition, resolveRelease, signRequest } from './session.ts';

export async function promote(this: Context, flags: CommonFlags, reference: string, environment: string): Promise<void> {
  await run(this, flags, async () => {
    const { system } = this;
    const { api, home } = await openSession(system);
    const { application } = await readDefinition(system);
    const release = await persist(system, () => resolveRelease(api, application, reference));
    const { head, live } = await persist(system, () => api.timeline(application, environment));
    const signed = signRequest(await ownSigner(system, home), release, {
      action: 'promote', application, environment, by: personName(system), nonce: system.random(16), head,
      // The environment's settings stay as they are; a change of theirs is a change of its own.
      configuration: live?.configuration ?? {}, secrets: live?.secrets ?? {}, restores: null, reason: null,
    });
    const moved = await persist(system, () => api.promote(signed));
    if (!flags.json) {
      const { revision } = moved;
      row(this, 'admitted', `verdict ${shortDigest(revision.verdict ?? release)}`, `revision ${revision.number}`);
      if (moved.preparedMs !== null) row(this, 'prepared', `${moved.healthy} healthy`, moved.warm ? 'was running' : `${Math.round(moved.preparedMs)} ms`);
      if (moved.switchedMs !== null) row(this, 'switched', `${moved.from === null ? 'nothing' : shortDigest(moved.from)} -> ${shortDigest(release)}`, `in ${moved.switchedMs.toFixed(1)} ms`);
      row(this, revision.state, `${application} ${shortDigest(release)} in ${environment}`);
    }
    return moved;
  });
}
