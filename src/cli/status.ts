import { shortDigest } from '#core';
import type { Context } from './context.ts';
import { row, run, type CommonFlags } from './output.ts';
import { openSession } from './session.ts';

export async function status(this: Context, flags: CommonFlags): Promise<void> {
  await run(this, flags, async () => {
    const { api, home, url } = await openSession(this.system);
    const [info, timelines] = await Promise.all([api.info(), api.timelines()]);
    if (!flags.json) {
      row(this, 'registry', `${url}/v2/`);
      row(this, 'ledger', info.origin, `${info.checkpoint.size} entries`);
      for (const { name, port } of home.settings.environments) {
        const live = timelines.filter((one) => one.environment === name && one.live !== undefined);
        if (live.length === 0) row(this, name, 'nothing runs', `http://${home.settings.host}:${port}`);
        for (const { application, live: revision } of live) {
          if (revision !== undefined) row(this, name, `${application} ${shortDigest(revision.release)} revision ${revision.number} ${revision.state}`, `http://${home.settings.host}:${port}`);
        }
      }
    }
    return { ...info, timelines };
  });
}
