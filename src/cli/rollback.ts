import { shortDigest } from '#core';
import type { PlannedReturn, RollbackPlan, RollbackRequest } from '#release';
import type { Context } from './context.ts';
import { row, run, type CommonFlags } from './output.ts';
import { openSession, persist, personName, readDefinition, type Session } from './session.ts';

export interface RollbackFlags extends CommonFlags {
  readonly reason?: string;
  readonly to?: number;
  readonly keepConfig?: boolean;
  readonly list?: boolean;
  readonly plan?: boolean;
  readonly drill?: boolean;
}

export async function rollback(this: Context, flags: RollbackFlags, environment: string): Promise<void> {
  await run(this, flags, async () => {
    const { system } = this;
    const session = await openSession(system, { send: false });
    const { application } = await readDefinition(system);
    if (flags.list === true || flags.plan === true) return showPlan(this, await session.api.plan(application, environment), flags, environment);
    const wanted = {
      operation: system.random(16), application, environment, by: personName(system),
      ...(flags.to !== undefined && { to: flags.to }), ...(flags.keepConfig === true && { keepConfiguration: true }),
    };
    if (flags.drill === true) return drill(this, session, wanted, flags);
    return switchBack(this, session, { ...wanted, reason: flags.reason ?? null }, flags);
  });
}

const patienceMs = 2_000;

async function switchBack(context: Context, session: Session, wanted: RollbackRequest, flags: RollbackFlags): Promise<unknown> {
  const { environment } = wanted;
  // In an incident nobody waits for a server: where it is away, or hangs, the runner does it, from the plan that it holds. The
  // operation is the same, so that a server that wakes up meanwhile finds it done.
  const moved = await session.api.rollback(wanted, whileAnswering(session)).catch(async (error: { code?: string }) => {
    if (error.code !== 'unreachable') throw error;
    return persist(context.system, () => throughRunner(session, wanted), 5_000).catch((second: { code?: string }) => {
      throw second.code === 'unreachable' ? error : second;
    });
  });
  if (flags.json) return moved;
  if (!('revision' in moved)) {
    row(context, 'switched', `${moved.from === null ? '' : `${shortDigest(moved.from)} -> `}${shortDigest(moved.to)}`, `in ${moved.milliseconds.toFixed(1)} ms`);
    row(context, 'journalled', `line ${moved.sequence}, restores revision ${moved.restores}`, 'by the runner: logged when the control server is back');
    return moved;
  }
  const { revision, from, switchedMs, preparedMs, debts, recorded } = moved;
  if (preparedMs !== null) row(context, 'prepared', `${moved.healthy} healthy`, `${Math.round(preparedMs)} ms`);
  row(context, 'switched', `${from === null ? '' : `${shortDigest(from)} -> `}${shortDigest(revision.release)}`, switchedMs === null ? '' : `in ${switchedMs.toFixed(1)} ms`);
  for (const { rule, found } of debts) row(context, 'owed', `${rule}: ${found}`);
  if (from !== null && from !== revision.release) row(context, 'held', `${shortDigest(from)} is quarantined in ${environment}`, `cairn resume ${shortDigest(from)} ${environment}`);
  row(context, 'recorded', recorded ? `revision ${revision.number}, restores ${revision.restores}` : 'in the runner\'s journal only: the log could not be written', revision.reason ?? '');
  return moved;
}

/** Gives up on a server that says nothing at all for two seconds; one that answers may take its time over the rollback. */
function whileAnswering(session: Session): AbortSignal {
  const hung = new AbortController();
  session.api.info(AbortSignal.timeout(patienceMs)).catch(() => hung.abort());
  return hung.signal;
}

async function throughRunner(session: Session, { operation, application, environment, by, reason, to }: RollbackRequest) {
  const { runnerClient } = await import('#runner');
  const runner = runnerClient(session.home.paths.socket);
  try {
    return await runner.rollback({ operation, application, environment, by, reason, restores: to ?? null });
  } finally {
    await runner.close();
  }
}

async function drill(context: Context, session: Session, wanted: Omit<RollbackRequest, 'reason'>, flags: RollbackFlags): Promise<unknown> {
  const found = await session.api.drill(wanted);
  if (!flags.json) {
    row(context, found.passed ? 'ok' : 'no', `to revision ${found.restores}, content ${shortDigest(found.content)}`, `${Math.round(found.milliseconds)} ms, nothing was switched`);
    for (const problem of found.problems) row(context, 'problem', problem);
  }
  if (!found.passed) context.process.exitCode = 6;
  return found;
}

function showPlan(context: Context, plan: RollbackPlan, flags: RollbackFlags, environment: string): RollbackPlan {
  if (flags.json) return plan;
  const [first] = plan.ways;
  if (plan.live === null || first === undefined) {
    row(context, 'plan', plan.live === null ? `nothing runs in ${environment}` : 'nothing to return to');
    return plan;
  }
  if (flags.list === true) for (const way of plan.ways) row(context, `${environment} ${way.revision}`, shortDigest(way.release), `config ${shortDigest(way.configuration.digest)}`, state(way));
  else {
    row(context, 'plan', `${shortDigest(plan.live.release)} -> ${shortDigest(first.release)}`, `revision ${first.revision}, content ${shortDigest(first.content)}`);
    row(context, 'configuration', shortDigest(first.configuration.digest), Object.entries(first.configuration.values).map(([name, value]) => `${name}=${value}`).join(' '));
    for (const [name, version] of Object.entries(first.secrets)) row(context, 'secret', `${name} version ${version}`, version === plan.live.secrets[name] ? 'as it runs' : `now ${plan.live.secrets[name] ?? 'none'}`);
    row(context, 'preflight', state(first));
    row(context, 'steps', 'switch traffic in one table swap; let what is in flight finish; stop old workers, start the others; log it');
  }
  return plan;
}

function state({ preflight }: PlannedReturn): string {
  if (preflight === null) return 'not looked at within 30 s: it is, when it is asked for';
  const age = `${Math.round(preflight.ageMs / 1000)} s ago`;
  return `${preflight.healthy ? 'warm and healthy' : 'not running'}, ${age}${preflight.problems.length === 0 ? '' : `; ${preflight.problems.join('; ')}`}`;
}
