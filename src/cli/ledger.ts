import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CairnError } from '#core';
import { exportLog, readCheckpoint, trustedRoot, vkey, type LogVerifier } from '#log';
import type { ApiClient } from '#server';
import { verifierOf } from '#verify';
import type { Context } from './context.ts';
import { row, run, type CommonFlags } from './output.ts';
import { openSession } from './session.ts';
import { continues, rememberCheckpoint, shownBy } from './remember.ts';
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
    const from = await exportedBefore(folder, log, checkpoint, session.api);
    await mkdir(folder, { recursive: true });
    await exportLog(session.api, checkpoint, folder, from);
    await writeFile(join(folder, 'log.vkey'), `${vkey(log.origin, log.log)}\n`);
    await writeFile(join(folder, 'trusted_root.json'), `${JSON.stringify(trustedRoot(log, trust.since), null, 2)}\n`);
    if (!flags.json) row(this, 'exported', folder, `${checkpoint.size} entries`, ...(from > 0 ? [`${checkpoint.size - from} of them new`] : []));
    return { folder, size: checkpoint.size, added: checkpoint.size - from };
  });
}

/** How many entries an export in the folder has. One of another log, or of another history of this one, is not gone on with. */
async function exportedBefore(folder: string, log: LogVerifier, { note }: { note: string }, api: ApiClient): Promise<number> {
  const text = await readFile(join(folder, 'checkpoint'), 'utf8').catch(() => undefined);
  if (text === undefined) return 0;
  const [before, now] = [readCheckpoint(text, log), readCheckpoint(note, log)];
  if (before.size <= now.size && (await continues(shownBy(api), before, now))) return before.size;
  throw new CairnError('conflict', `${folder} holds ${before.size} entries that the log's ${now.size} do not continue; nothing was written`, { fix: 'Keep the folder, and export to another: cairn ledger evidence says what the log showed' });
}
