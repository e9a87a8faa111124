import type { Request } from '#attest';
import { asCairnError, CairnError, type Digest } from '#core';
import type { Decision } from '#policy';
import { contentHash, type Content } from './content.ts';
import type { Engine, Spot } from './engine.ts';
import { contentToReturn } from './plan.ts';
import type { JournalledSwitch, Revision, SignedStatement, Timeline } from './ports.ts';
import { intentStatement, outcomeStatement, requestStatement, sign, type Asked } from './statements.ts';

/** A switch back that happened: what the log is told of it. */
export interface Done extends Spot {
  readonly by: string;
  readonly reason: string | null;
  readonly restores: number;
  readonly content: Content;
  readonly journal: number;
  readonly milliseconds: number;
}

/** Logs a switch back that the runner has already made durable: what was asked, the verdict, the intent, the outcome. */
export async function recordReturn(engine: Engine, asked: Asked, timeline: Timeline, done: Done, judged: { decision: Decision; verdict: SignedStatement }): Promise<Revision> {
  const { ledger, registry, signers } = engine.options;
  const { operation, application } = asked;
  const logged = await ledger.commit(
    [
      returnRequest(engine, asked, timeline, done),
      judged.verdict,
      intentStatement(asked, { from: timeline.live?.content ?? null, restores: done.restores }, signers),
      outcomeStatement(asked, { state: 'confirmed', milliseconds: done.milliseconds, journal: done.journal, detail: null }, signers),
    ],
    timeline,
  );
  // It is logged: what a full disk keeps from being attached is attached at the next start.
  for (const one of judged.decision.passed ? logged.slice(1, 2) : []) await registry.attach(application, one).catch((error: unknown) => engine.options.report(asCairnError(error)));
  return engine.revisionOf(operation);
}

/** What was asked of the API by an authenticated person, or done by the runner by itself, put on record by the server. */
export function returnRequest(engine: Engine, asked: Asked, timeline: Timeline, done: Pick<Done, 'by' | 'reason' | 'restores' | 'content'>): SignedStatement {
  const { application, environment, operation, release } = asked;
  const predicate: Request = {
    action: 'rollback', application, environment, by: done.by, nonce: operation, head: timeline.head,
    configuration: { ...done.content.configuration }, secrets: { ...done.content.secrets }, restores: done.restores, reason: done.reason,
  };
  return sign(requestStatement(release, application, predicate), engine.options.signers.record);
}

/** Switches back that the runner made and no outcome tells of: while the server was away, or by itself. Held by the place's lock. */
export async function recordJournal(engine: Engine, { application, environment }: Spot): Promise<number> {
  const { ledger, gateway } = engine.options;
  let recorded = 0;
  for (const line of await gateway.switches(await ledger.journalCursor(application, environment))) {
    if (line.application !== application || line.environment !== environment) continue;
    const known = await ledger.revisionOf(line.operation);
    // A promotion whose outcome a crash cut off: what came after it in the journal came after it.
    if (line.restores === null && known?.state === 'preparing') await recordLive(engine, known, line);
    if (line.restores === null || known !== undefined) continue;
    await recordSwitch(engine, line, line.restores);
    recorded++;
  }
  return recorded;
}

async function recordLive(engine: Engine, revision: Revision, line: JournalledSwitch): Promise<void> {
  const asked: Asked = { ...revision, revision: revision.number };
  await engine.options.ledger.commit([outcomeStatement(asked, { state: 'live', milliseconds: line.milliseconds, journal: line.sequence, detail: null }, engine.options.signers)]);
}

async function recordSwitch(engine: Engine, line: JournalledSwitch, restores: number): Promise<void> {
  const { operation, application, environment } = line;
  const timeline = await engine.options.ledger.timeline(application, environment);
  const target = timeline.revisions.find((one) => one.number === restores);
  if (target === undefined) throw new CairnError('storage', `the runner's journal line ${line.sequence} restores revision ${restores}, which the log does not have`, { fix: 'cairn audit' });
  const document = await engine.document(application, target.release);
  const content = contentOf(line.to, timeline, target, (keep) => contentToReturn(target, timeline.live ?? target, document, keep));
  const asked: Asked = { operation, application, environment, revision: timeline.head + 1, release: target.release, content: line.to };
  const by = line.by ?? 'cairn';
  const done: Done = { application, environment, by, reason: line.reason, restores, content, journal: line.sequence, milliseconds: line.milliseconds };
  // Traffic has moved: what is left is to say so. What today's gate would refuse is logged as that, and is an incident.
  const judged = await engine.judge({ ...asked, by }, timeline, document, 'rollback', null);
  await recordReturn(engine, asked, timeline, done, judged);
  if (judged.decision.passed) return;
  const failed = judged.decision.rules.find(({ passed }) => !passed);
  await engine.openIncident(asked, new CairnError('refused', `the runner returned to revision ${restores} while the gate could not be asked; it would have refused: ${failed?.found ?? ''}`));
}

/** The journal names a content by its hash only; it is one that the plan offered, so its parts stand in the timeline. */
function contentOf(hash: Digest, timeline: Timeline, target: Revision, now: (keep: boolean) => Content): Content {
  const likely = [now(false), now(true), target];
  for (const { release, configuration, secrets } of likely) if (contentHash({ release, configuration, secrets }) === hash) return { release, configuration, secrets };
  for (const { configuration } of timeline.revisions) {
    for (const { secrets } of timeline.revisions) {
      const content = { release: target.release, configuration, secrets };
      if (contentHash(content) === hash) return content;
    }
  }
  throw new CairnError('storage', `the runner's journal names the content ${hash}, which the log cannot explain`, { fix: 'cairn audit' });
}
