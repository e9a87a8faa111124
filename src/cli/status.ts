import type { StateAnswer } from '#runner';
import type { PlaceStatus, StatusAnswer } from '#server';
import type { Context } from './context.ts';
import { count, row, run, short, type CommonFlags } from './output.ts';
import { near, type Near } from './quick.ts';

// Loads nothing that it does not use: this is the command that people and scripts run most.

type Shown = { readonly kind: 'server'; readonly answer: StatusAnswer } | { readonly kind: 'runner'; readonly answer: StateAnswer };

export interface StatusFlags extends CommonFlags {
  readonly watch: boolean;
}

export async function status(this: Context, flags: StatusFlags): Promise<void> {
  await run(this, { json: flags.json && !flags.watch }, async () => {
    const place = await near(this.system);
    if (!flags.watch) {
      const shown = await look(place);
      if (!flags.json) print(this, place, shown);
      return documentOf(shown);
    }
    const { setTimeout: sleep } = await import('node:timers/promises');
    for (let before = ''; ; await sleep(1000)) {
      const shown = await look(place);
      const text = JSON.stringify(documentOf(shown));
      if (text === before) continue;
      before = text;
      if (flags.json) this.system.out(text);
      else {
        // On a terminal the picture is redrawn; anywhere else each change follows the last.
        this.system.out(this.system.colour ? '\u001b[2J\u001b[H' : '');
        print(this, place, shown);
      }
    }
  });
}

/** With the control server away the runner still knows what it serves. */
async function look(place: Near): Promise<Shown> {
  try {
    return { kind: 'server', answer: await place.server<StatusAnswer>('/api/v1/status') };
  } catch (error) {
    if ((error as { code?: string }).code !== 'unreachable') throw error;
    const answer = await place.runner<StateAnswer>('/v1/state').catch(() => {
      throw error;
    });
    return { kind: 'runner', answer };
  }
}

function documentOf(shown: Shown): object {
  return shown.kind === 'server' ? { server: true, ...shown.answer } : { server: false, runner: shown.answer };
}

function print(context: Context, place: Near, shown: Shown): void {
  if (shown.kind === 'runner') return printRunner(context, place, shown.answer);
  const { answer } = shown;
  row(context, 'registry', `${place.url}/v2/`);
  row(context, 'ledger', answer.origin, count(answer.log.size, 'entry', 'entries'), answer.log.checkpoint === null ? '' : `checkpoint ${short(answer.log.checkpoint)}`);
  row(context, 'policy', short(answer.policy));
  for (const { name, state, size, detail, url } of answer.witnesses) row(context, 'witness', name, state === 'cosigned' ? `cosigned all ${count(size ?? 0, 'entry', 'entries')}` : `${state}: ${detail ?? (size === null ? 'it has cosigned nothing yet' : `it has cosigned ${size}`)}`, url);
  for (const { name, url } of answer.environments) {
    const places = answer.places.filter((one) => one.environment === name && one.live !== null);
    if (places.length === 0) row(context, name, 'nothing runs', url);
    for (const one of places) printPlace(context, one, url);
  }
  for (const { logIndex, environment, application, release, code, what, owner } of answer.incidents) {
    row(context, 'incident', `${logIndex} ${application} ${short(release)} in ${environment}`, code, owner === null ? 'nobody owns it' : `${owner} owns it`, what);
  }
  for (const { application, environment, release, by, reason } of answer.debts) row(context, 'debt', environment, `${application} ${short(release)}: ${by} broke the glass: ${reason}`, `cairn settle ${environment} --reason TEXT`);
  if (answer.runner === null) row(context, 'runner', 'does not answer', 'cairn up');
  else {
    const { users, limits, reason } = answer.runner.isolation;
    const apart = users ? `users of their own${limits ? ', memory and CPU limits' : ''}` : 'none: all run as this user';
    row(context, 'isolation', apart, users && limits ? '' : (reason ?? ''));
  }
}

function printPlace(context: Context, place: PlaceStatus, url: string): void {
  const { live, former, wayBack, instances, counts, application, environment } = place;
  if (live === null) return;
  const healthy = instances === null ? '' : instances.healthy === instances.all ? `${instances.all} healthy` : `${instances.healthy} of ${instances.all} healthy`;
  row(context, environment, `${application} ${short(live.release)}`, `revision ${live.revision} ${live.state}${live.restores === null ? '' : `, restores ${live.restores}`}`, healthy, url);
  if (former !== null) row(context, '', `${live.share} % ${short(live.release)}, ${former.share} % ${short(former.release)}`, `cairn traffic ${environment} 100`);
  if (wayBack !== null) row(context, '', `back to ${short(wayBack.release)}`, wayBack.warm ? 'warm' : 'is started first', `cairn rollback ${environment}`);
  if (counts !== null && counts.requests > 0) row(context, '', `${count(counts.requests, 'request')}`, count(counts.errors, 'error'), instances !== null && instances.restarts > 0 ? count(instances.restarts, 'restart') : '');
  for (const digest of place.quarantined) row(context, 'held', `${short(digest)} may not return to ${environment}`, `cairn resume ${short(digest)} ${environment}`);
  for (const { rule, found } of place.debts) row(context, 'debt', rule, found);
}

function printRunner(context: Context, place: Near, state: StateAnswer): void {
  row(context, 'server', 'does not answer: what the runner serves goes on', 'cairn up');
  for (const { name, url } of place.environments) {
    const live = state.timelines.filter((one) => one.environment === name && one.live !== null);
    if (live.length === 0) row(context, name, 'nothing runs', url);
    for (const { application, live: revision, instances } of live) {
      const own = instances.filter(({ content }) => content === revision?.content);
      if (revision !== null) row(context, name, `${application} ${short(revision.release)}`, `revision ${revision.revision}`, `${own.filter(({ healthy }) => healthy).length} of ${own.length} healthy`, url);
    }
  }
}
