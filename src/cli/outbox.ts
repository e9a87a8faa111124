import { setTimeout as sleep } from 'node:timers/promises';
import { envelopeDigest } from '#attest';
import { asCairnError, CairnError, type Digest } from '#core';
import { enqueue, isOutage, waiting } from '#home';
import type { SignedStatement } from '#release';
import type { Context, System } from './context.ts';
import { count, row } from './output.ts';
import { flush, persist, type Session } from './session.ts';

/** How long a statement tries to reach the log before it is kept for later: a server that restarts is back by then. */
const patienceMs = 5_000;
/** How long a promotion waits for the log to take what it rests on. */
const longestWaitMs = 600_000;

export interface Delivered {
  readonly digest: Digest;
  /** Null where the log was away: it is kept in the home and sent as it is by the next command, or by `cairn up`. */
  readonly logIndex: number | null;
}

/** Logs a signed statement, behind those that wait; keeps it where the log is away. */
export async function deliver(system: System, session: Session, application: string, signed: SignedStatement): Promise<Delivered> {
  const before = await flush(system, session);
  try {
    if (before.because !== undefined) throw before.because;
    const { digest, logIndex } = await persist(system, () => session.api.addStatement(application, signed), patienceMs);
    return { digest, logIndex };
  } catch (thrown) {
    const error = asCairnError(thrown);
    if (!isOutage(error)) throw error;
    await enqueue(session.home.paths, system.clock.now(), { application, ...signed });
    return { digest: envelopeDigest(signed.envelope), logIndex: null };
  }
}

/** The end of a line about a statement. */
export function loggedAs(logIndex: number | null): string {
  return logIndex === null ? 'queued: the log is away' : `logged ${logIndex}`;
}

/** What is signed and not logged may be what a promotion rests on: it waits, and says for what. @throws CairnError `unreachable` after ten minutes */
export async function drain(context: Context, session: Session, json: boolean): Promise<void> {
  const { system } = context;
  const start = system.clock.elapsed();
  let told = false;
  while ((await waiting(session.home.paths)).length > 0) {
    const { sent, left, because } = await flush(system, session);
    if (left === 0) {
      if (!json && sent > 0) row(context, 'sent', `${count(sent, 'statement')} that waited for the log`);
      return;
    }
    if (!told && !json) row(context, 'waiting', `for the log to take ${count(left, 'signed statement')}`, because?.message ?? '');
    told = true;
    if (system.clock.elapsed() - start > longestWaitMs) throw new CairnError('unreachable', `${count(left, 'signed statement')} could not be logged; nothing was promoted`, { cause: because, fix: because?.fix ?? 'cairn up', retryable: true });
    await sleep(250);
  }
}
