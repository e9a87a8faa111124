import type { Request } from '#attest';
import { CairnError, shortDigest, type Digest } from '#core';
import type { Timeline } from '#release';
import type { MovedAnswer } from '#server';
import type { Context } from './context.ts';
import { row } from './output.ts';
import { ownSigner, persist, personName, signRequest, type Session } from './session.ts';

/** What `promote`, `config` and `secret` have in common: one signed request for content, and the way to its confirmation. */
export interface Wanted {
  readonly application: string;
  readonly environment: string;
  readonly release: Digest;
  readonly configuration: Readonly<Record<string, string>>;
  readonly secrets: Readonly<Record<string, number>>;
  readonly head: number;
  readonly reason?: string | undefined;
  readonly share?: number | undefined;
}

/** Newest versions of what the release declares. A secret that is missing is left out: the server says which, and what mends it. */
export async function newestSecrets(session: Session, application: string, environment: string, release: Digest): Promise<Record<string, number>> {
  const [{ secrets = {} }, latest] = await Promise.all([session.api.document(application, release), session.api.secrets(application, environment)]);
  return Object.fromEntries(Object.keys(secrets).flatMap((name) => (latest[name] === undefined ? [] : [[name, latest[name]] as const])));
}

export function requireLive(timeline: Timeline): NonNullable<Timeline['live']> {
  if (timeline.live !== undefined) return timeline.live;
  const { application, environment } = timeline;
  throw new CairnError('not-found', `nothing of ${application} runs in ${environment}`, { fix: `Give settings with the first promotion: cairn promote DIGEST ${environment} --config NAME=VALUE` });
}

export async function move(context: Context, session: Session, wanted: Wanted, json: boolean): Promise<MovedAnswer> {
  const { system } = context;
  const { application, environment, release, share } = wanted;
  const request: Request = {
    action: 'promote', application, environment, by: personName(system), nonce: system.random(16), head: wanted.head,
    configuration: { ...wanted.configuration }, secrets: { ...wanted.secrets }, restores: null, reason: wanted.reason ?? null, ...(share !== undefined && { share }),
  };
  const signed = signRequest(await ownSigner(system, session.home), release, request);
  const moved = await persist(system, () => session.api.promote(signed));
  if (!json) printMoved(context, moved, application);
  if (moved.confirmSeconds === 0) return moved;
  if (!json) row(context, 'confirming', `${moved.confirmSeconds} s, reverts by itself`);
  const confirmed = await settled(context, session, moved);
  if (!json) row(context, confirmed.revision.state, `${application} ${shortDigest(release)} in ${environment}`, moved.from === null ? '' : `${shortDigest(moved.from)} stays warm`);
  return { ...moved, revision: confirmed.revision };
}

/** @throws CairnError `reverted`, `unhealthy` */
async function settled({ system }: Context, session: Session, moved: MovedAnswer): Promise<MovedAnswer> {
  for (;;) {
    const now = await persist(system, () => session.api.settle(moved.operation));
    if (now.revision.state !== 'live') return now;
  }
}

function printMoved(context: Context, moved: MovedAnswer, application: string): void {
  const { revision, from, preparedMs, switchedMs } = moved;
  row(context, 'admitted', `verdict ${shortDigest(revision.verdict ?? revision.content)}`, `revision ${revision.number}`);
  for (const { rule, found, fix } of moved.debts) row(context, 'debt', rule, found, fix ?? '');
  if (preparedMs !== null) row(context, 'prepared', `${moved.healthy} healthy`, moved.warm ? 'was running' : `${Math.round(preparedMs)} ms`);
  const share = revision.share === 100 ? '' : `${revision.share} % of new clients`;
  if (switchedMs !== null) row(context, 'switched', `${from === null ? 'nothing' : shortDigest(from)} -> ${shortDigest(revision.release)}`, `in ${switchedMs.toFixed(1)} ms`, share);
  if (moved.confirmSeconds === 0) row(context, revision.state, `${application} ${shortDigest(revision.release)} in ${revision.environment}`);
}

/** `NAME=VALUE`, as often as it is given. */
export function assignments(given: readonly string[]): Record<string, string> {
  return Object.fromEntries(given.map((one) => {
    const at = one.indexOf('=');
    const name = one.slice(0, at);
    if (at < 1 || !/^[A-Z_][A-Z0-9_]*$/.test(name)) throw new CairnError('usage', `"${one}" is no setting`, { fix: 'Give NAME=VALUE, with NAME in upper case as of an environment variable' });
    return [name, one.slice(at + 1)];
  }));
}
