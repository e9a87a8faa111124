import { parsePredicate } from '#attest';
import type { Digest } from '#core';
import type { OpenLedger } from '#ledger';
import { witnessAnswers, type WitnessAnswer, type Witnessing } from './witnesses.ts';
import { returns, type Debt, type Incident, type Registry, type Timeline } from '#release';

/** What the runner says of a place; the part of its state that status needs, so that this room need not know the runner. */
export interface RunnerState {
  readonly timelines: readonly {
    readonly application: string;
    readonly environment: string;
    readonly live: { readonly content: Digest; readonly release: Digest; readonly revision: number; readonly share: number } | null;
    readonly former: { readonly content: Digest; readonly release: Digest } | null;
    readonly ready: readonly Digest[];
    readonly instances: readonly { readonly component: string; readonly content: Digest; readonly release: Digest; readonly pid: number; readonly port: number | null; readonly healthy: boolean; readonly restarts: number }[];
    readonly counts: Readonly<Record<string, { readonly requests: number; readonly errors: number }>>;
  }[];
  readonly sequence: number;
  readonly pid: number;
  readonly isolation: { readonly users: boolean; readonly limits: boolean; readonly reason: string | null };
}

export interface PlaceStatus {
  readonly application: string;
  readonly environment: string;
  readonly live: {
    readonly release: Digest; readonly content: Digest; readonly revision: number; readonly state: string; readonly share: number;
    readonly restores: number | null; readonly by: string;
    /** Seconds since 1970, by the log: when it was let in. */
    readonly since: number | null;
  } | null;
  /** Who has the rest of the traffic while the live share is below 100. */
  readonly former: { readonly release: Digest; readonly revision: number; readonly share: number } | null;
  /** Where a rollback would go; null where it cannot. */
  readonly wayBack: { readonly release: Digest; readonly content: Digest; readonly restores: number; readonly warm: boolean } | null;
  readonly quarantined: readonly Digest[];
  /** Rules that today's content was let back in without: they are still to be met. */
  readonly debts: readonly { readonly rule: string; readonly found: string; readonly fix: string | null }[];
  readonly instances: { readonly healthy: number; readonly all: number; readonly restarts: number } | null;
  readonly counts: { readonly requests: number; readonly errors: number } | null;
}

export interface StatusAnswer {
  readonly version: string;
  readonly origin: string;
  readonly policy: Digest;
  readonly log: { readonly size: number; readonly checkpoint: Digest | null };
  readonly environments: readonly { readonly name: string; readonly url: string }[];
  readonly places: readonly PlaceStatus[];
  /** Those that nobody has resolved. */
  readonly incidents: readonly Incident[];
  /** Those of the policy. */
  readonly witnesses: readonly Omit<WitnessAnswer, 'note'>[];
  /** What broken glass left, and nobody has settled. */
  readonly debts: readonly Debt[];
  /** Null where the runner does not answer. */
  readonly runner: { readonly pid: number; readonly journal: number; readonly isolation: RunnerState['isolation'] } | null;
}

/** The part that only the log decides: it is the same until the log grows. */
type Logged = Pick<StatusAnswer, 'log' | 'incidents' | 'debts'> & { readonly places: readonly Omit<PlaceStatus, 'instances' | 'counts'>[] };

/** Answers status. Asked often, so what the log says is computed once for each of its sizes. */
export function statusReader(options: { ledger: OpenLedger; registry: Registry; runner: () => Promise<RunnerState>; witnessing?: Witnessing }): () => Promise<Omit<StatusAnswer, 'version' | 'origin' | 'policy' | 'environments'>> {
  const { ledger, registry } = options;
  let known: { size: number; logged: Promise<Logged> } | undefined;

  return async () => {
    const [checkpoint = { size: 0, note: '' }, state] = await Promise.all([ledger.checkpoint(), options.runner().catch(() => undefined)]);
    if (known?.size !== checkpoint.size) known = { size: checkpoint.size, logged: readLog(ledger, registry, checkpoint) };
    const logged = await known.logged.catch((error: unknown) => {
      known = undefined;
      throw error;
    });
    return {
      ...logged,
      places: logged.places.map((place) => withRunner(place, state)),
      witnesses: (await witnessAnswers(options.witnessing, checkpoint.size)).map(({ name, url, vkey, size, state: how, detail }) => ({ name, url, vkey, size, state: how, detail })),
      runner: state === undefined ? null : { pid: state.pid, journal: state.sequence, isolation: state.isolation },
    };
  };
}

async function readLog(ledger: OpenLedger, registry: Registry, { size, note }: { size: number; note: string }): Promise<Logged> {
  const places: Logged['places'][number][] = [];
  for (const timeline of await ledger.timelines()) places.push(await readPlace(ledger, registry, timeline));
  const [, , root = ''] = note.split('\n');
  return {
    log: { size, checkpoint: size === 0 ? null : `sha256:${Buffer.from(root, 'base64').toString('hex')}` },
    places,
    incidents: (await ledger.incidents()).filter(({ resolution }) => resolution === null),
    debts: (await ledger.debts()).filter(({ settledBy }) => settledBy === null),
  };
}

async function readPlace(ledger: OpenLedger, registry: Registry, timeline: Timeline): Promise<Logged['places'][number]> {
  const { application, environment, live, revisions, quarantined } = timeline;
  const verdict = live === undefined ? undefined : await ledger.verdictOf(live.operation);
  const rules = verdict === undefined ? [] : parsePredicate('verdict', verdict.statement)['https://cairn.internal/verdict/v1'].rules;
  const standby = revisions.findLast(({ state }) => state === 'standby');
  return {
    application, environment,
    // Where both sides were of one release the content is held: `cairn resume` names the release.
    quarantined: [...new Set(quarantined.map((digest) => revisions.find(({ content }) => content === digest)?.release ?? digest))],
    live: live === undefined ? null : {
      release: live.release, content: live.content, revision: live.number, state: live.state, share: live.share, restores: live.restores, by: live.by, since: verdict?.time ?? null,
    },
    former: live === undefined || live.share === 100 || standby === undefined ? null : { release: standby.release, revision: standby.number, share: 100 - live.share },
    wayBack: await firstWay(timeline, registry),
    // What broken glass let past is a debt of its own, until it is settled.
    debts: rules.filter(({ passed, waived }) => !passed && waived !== true).map(({ rule, found, fix }) => ({ rule, found, fix })),
  };
}

/** A release that cannot be read any more must not take the whole status away: it shows as no way back. */
async function firstWay(timeline: Timeline, registry: Registry): Promise<PlaceStatus['wayBack']> {
  try {
    for await (const { content, hash, restores } of returns(timeline, (application, release) => registry.document(application, release))) return { release: content.release, content: hash, restores, warm: false };
  } catch {
    return null;
  }
  return null;
}

function withRunner(place: Logged['places'][number], state: RunnerState | undefined): PlaceStatus {
  const running = state?.timelines.find(({ application, environment }) => application === place.application && environment === place.environment);
  if (running === undefined) return { ...place, instances: null, counts: null };
  const own = running.instances.filter(({ content }) => content === place.live?.content);
  const counts = place.live === null ? undefined : running.counts[place.live.content];
  return {
    ...place,
    wayBack: place.wayBack === null ? null : { ...place.wayBack, warm: running.ready.includes(place.wayBack.content) },
    instances: { healthy: own.filter(({ healthy }) => healthy).length, all: own.length, restarts: own.reduce((sum, one) => sum + one.restarts, 0) },
    counts: counts === undefined ? null : { requests: counts.requests, errors: counts.errors },
  };
}
