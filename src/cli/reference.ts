import { CairnError, isDigest, type Digest } from '#core';
import type { Revision, Timeline } from '#release';
import type { System } from './context.ts';
import { short } from './output.ts';
import { readDefinition, type Session } from './session.ts';

/** What a reference means now: a release, and the revision that it was reached by where an environment was named. */
export interface Resolved {
  readonly application: string;
  readonly release: Digest;
  readonly revision: Revision | null;
  /** As people read it. */
  readonly label: string;
}

/** States of a revision that had traffic once. */
const ran: ReadonlySet<string> = new Set(['live', 'confirmed', 'standby', 'retained', 'reverted', 'retired']);

/**
 * `production` (what runs there), `production~1` (what ran before), `production:17` and, where only one environment has it, `17` (a
 * revision by its number), `shop@sha256:...`, a whole digest or its first digits; each with `shop/` in front where the repository at
 * hand is not the application's. Tags are for people and mean nothing here.
 * @throws CairnError `unknown-reference`, `ambiguous-reference`, `unknown-environment`
 */
export async function resolve(system: System, session: Session, reference: string): Promise<Resolved> {
  const parts = /^(?:(?<application>[a-z0-9][a-z0-9-]{0,62})[/@])?(?<rest>.+)$/.exec(reference)?.groups;
  if (parts?.['rest'] === undefined) throw malformed(reference);
  const { rest, application } = parts as { rest: string; application?: string };
  const place = /^(?<environment>[a-z0-9][a-z0-9-]{0,62})(?:~(?<back>\d{0,6})|:(?<number>\d{1,9}))?$/.exec(rest)?.groups;
  const { environments } = await session.api.info();
  if (place !== undefined && environments.some(({ name }) => name === place['environment'])) {
    const { environment = '', back, number } = place;
    const timeline = await timelineOf(system, session, environment, application);
    return fromTimeline(timeline, number === undefined ? undefined : Number(number), back === undefined ? 0 : Number(back === '' ? '1' : back));
  }
  if (/[~:]/.test(rest) && !rest.startsWith('sha256:')) throw noEnvironment(place?.['environment'] ?? rest, environments);
  const named = application ?? (await applicationAt(system, session));
  if (/^\d{1,3}$/.test(rest)) return byNumber(session, named, Number(rest));
  return byDigest(session, named, rest, reference, environments);
}

async function byDigest(session: Session, application: string, rest: string, reference: string, environments: readonly { name: string }[]): Promise<Resolved> {
  const prefix = rest.replace(/^sha256:/, '');
  // What has a letter beyond f was hardly meant as a digest.
  if (/^[a-z][a-z0-9-]*$/.test(rest) && !/^[0-9a-f]+$/.test(rest)) throw noEnvironment(rest, environments);
  if (!/^[0-9a-f]{4,64}$/.test(prefix)) throw malformed(reference);
  const [found, another] = await session.api.findRelease(application, prefix);
  if (found === undefined) throw new CairnError('unknown-reference', `no release of ${application} ${isDigest(rest) ? 'is' : 'begins with'} ${prefix}`, { fix: 'cairn status shows what runs; cairn release makes one' });
  if (another !== undefined) {
    throw new CairnError('ambiguous-reference', `several releases of ${application} begin with ${prefix}: ${short(found)}, ${short(another)}`, { fix: 'Give more digits', context: { candidates: [found, another] } });
  }
  return { application, release: found, revision: null, label: `${application} ${short(found)}` };
}

/** The timeline that an environment's name means: the application's at hand, or the only one there is. */
export async function timelineOf(system: System, session: Session, environment: string, application?: string): Promise<Timeline> {
  const { environments } = await session.api.info();
  if (!environments.some(({ name }) => name === environment)) throw noEnvironment(environment, environments, 'unknown-environment');
  const named = application ?? (await definedHere(system));
  if (named !== undefined) return session.api.timeline(named, environment);
  const there = (await session.api.timelines()).filter((one) => one.environment === environment);
  const [only, another] = there;
  if (only === undefined) throw new CairnError('unknown-reference', `nothing was ever promoted to ${environment}`, { fix: `cairn promote DIGEST ${environment}` });
  if (another !== undefined) throw several(environment, there.map((one) => one.application));
  return only;
}

async function applicationAt(system: System, session: Session): Promise<string> {
  const here = await definedHere(system);
  if (here !== undefined) return here;
  const names = [...new Set((await session.api.releases(1000)).map(({ application }) => application))];
  const [only, another] = names;
  if (only === undefined) throw new CairnError('unknown-reference', 'there is no release yet', { fix: 'cairn release' });
  if (another !== undefined) throw several('the reference', names);
  return only;
}

async function definedHere(system: System): Promise<string | undefined> {
  return readDefinition(system).then(({ application }) => application, (error: unknown) => {
    if (error instanceof CairnError && error.code === 'not-initialized') return undefined;
    throw error;
  });
}

function fromTimeline(timeline: Timeline, number: number | undefined, back: number): Resolved {
  const { application, environment, live, revisions } = timeline;
  const before = revisions.filter((one) => ran.has(one.state) && live !== undefined && one.number < live.number).toReversed();
  const revision = number !== undefined ? revisions.find((one) => one.number === number) : back === 0 ? live : before[back - 1];
  if (revision !== undefined) return resolved(revision);
  const what = number !== undefined ? `has no revision ${number} in` : back === 0 ? 'runs nothing in' : `had no ${back} revisions before what runs in`;
  throw new CairnError('unknown-reference', `${application} ${what} ${environment}`, { fix: `cairn rollback ${environment} --list, or cairn status` });
}

async function byNumber(session: Session, application: string, number: number): Promise<Resolved> {
  const timelines = (await session.api.timelines()).filter((one) => one.application === application);
  const [only, another] = timelines.flatMap(({ revisions }) => revisions.filter((one) => one.number === number));
  if (only === undefined) throw new CairnError('unknown-reference', `${application} has no revision ${number} anywhere`, { fix: 'cairn status; digests need at least four digits' });
  if (another !== undefined) throw new CairnError('ambiguous-reference', `${application} has a revision ${number} in several environments`, { fix: `cairn show ${only.environment}:${number}` });
  return resolved(only);
}

function resolved(revision: Revision): Resolved {
  const { application, environment, number, release } = revision;
  return { application, release, revision, label: `${application} ${short(release)}, revision ${number} in ${environment}` };
}

function several(what: string, names: readonly string[]): CairnError {
  return new CairnError('ambiguous-reference', `${what} could mean ${names.join(', ')}`, { fix: `Say which: ${names[0]}/REFERENCE, or run it in the application's repository`, context: { candidates: names } });
}

function noEnvironment(name: string, environments: readonly { name: string }[], code: 'unknown-reference' | 'unknown-environment' = 'unknown-reference'): CairnError {
  return new CairnError(code, `there is no environment "${name}"`, { fix: `Use one of: ${environments.map((one) => one.name).join(', ')}, or the first digits of a digest` });
}

function malformed(reference: string): CairnError {
  return new CairnError('unknown-reference', `"${reference.slice(0, 100)}" is no reference`, {
    fix: 'Give a digest or at least four of its first digits, an environment, or an environment with ~1 or :REVISION; tags are never deployed',
  });
}
