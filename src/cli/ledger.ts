import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CairnError } from '#core';
import { exportLog, trustedRoot, vkey } from '#log';
import { verifierOf } from '#verify';
import type { Context } from './context.ts';
import { row, run, type CommonFlags } from './output.ts';
import { openSession } from './session.ts';
import { rememberCheckpoint, shownBy } from './remember.ts';
import { trustOf } from './trust.ts';

export async function rebuild(this: Context, flags: CommonFlags): Promise<void> {
  await run(this, flags, async () => {
    const { api } = await openSession(this.system);
    const result = await api.rebuildLedger();
    if (!flags.json) row(this, 'rebuilt', `${result.counted} statements`, result.same ? 'the index was as the log says' : 'the index differed from the log and is mended');
    return result;
  });
}

export async function exportTo(this: Context, flags: CommonFlags, folder: string): Promise<void> {
  await run(this, flags, async () => {
    const session = await openSession(this.system);
    const trust = await trustOf(this.system, session.home);
    const log = verifierOf(trust);
    const { checkpoint } = await session.api.info();
    await rememberCheckpoint(session.home, shownBy(session.api), log, checkpoint.note);
    if (checkpoint.size === 0) throw new CairnError('not-found', 'the log is empty');
    await mkdir(folder, { recursive: true });
    await exportLog(session.api, checkpoint, folder);
    await writeFile(join(folder, 'log.vkey'), `${vkey(log.origin, log.log)}\n`);
    await writeFile(join(folder, 'trusted_root.json'), `${JSON.stringify(trustedRoot(log, trust.since), null, 2)}\n`);
    if (!flags.json) row(this, 'exported', folder, `${checkpoint.size} entries`);
    return { folder, size: checkpoint.size };
  });
}
