import { readFile } from 'node:fs/promises';
import { parsePredicate } from '#attest';
import { CairnError } from '#core';
import { registryClient } from '#oci';
import type { Revision } from '#release';
import type { RunnerState } from '#server';
import { takeApart } from './anatomy.ts';
import type { Context } from './context.ts';
import { gather, packagesOf, type Vouched } from './evidence.ts';
import { openFooting } from './footing.ts';
import { commitsOf } from './show.ts';
import { count, run, short, type CommonFlags } from './output.ts';
import { timelineOf } from './reference.ts';
import { standing, takenBack } from './revoked.ts';
import { openSession } from './session.ts';

/**
 * From the running process back to the commit and to who vouched for it. The links between process and release are the runner's word;
 * from the release on, each one is checked from bytes against the log.
 */
export async function trace(this: Context, flags: CommonFlags & { readonly pid?: number }, place?: string): Promise<void> {
  await run(this, flags, async () => {
    const session = await openSession(this.system);
    const state = await session.api.runner();
    const { application, environment, pid } = flags.pid === undefined ? placeOf(place) : await placeOfProcess(state, flags.pid);
    const timeline = await timelineOf(this.system, session, environment, application);
    const revision = revisionOf(timeline.live, timeline, state, pid);
    const footing = await openFooting(this.system, session);
    const { document, parts } = await takeApart(registryClient(session.url, timeline.application), timeline.application, revision.release);
    const vouched = await gather(session, footing, document, revision.release);
    const packages = packagesOf(vouched, document);
    const running = runningOf(state, revision).filter((one) => pid === undefined || one.pid === pid);
    const components = parts.map(({ component, image, layers }) => ({ name: component.name, kind: component.kind, pids: running.filter((one) => one.component === component.name).map(({ pid }) => pid), image, layers }));
    const taken = await takenBack(session, footing, vouched, packages);
    const by = signersOf(standing(vouched, taken), revision);
    const subject = commitsOf(vouched).find(({ commit }) => commit === document.source.commit)?.subject ?? null;
    const [first, last] = [vouched[0]?.logIndex, vouched.at(-1)?.logIndex];
    const root = footing.checkpoint.root.toString('hex');
    if (!flags.json) {
      const { out } = this.system;
      for (const { name, pids, image, layers } of components.filter(({ pids }) => pid === undefined || pids.length > 0)) {
        const process = pids.length === 0 ? name : `${components.length > 1 ? `${name} ` : ''}pid ${pids.join(', ')}`;
        const layered = layers.map((layer) => `${layer.stage} ${short(layer.digest)}`).join(', ');
        out(`  ${process}  <-  revision ${revision.number}  <-  ${timeline.application} ${short(revision.release)}  <-  image ${short(image)}  <-  layers ${layered}`);
      }
      const source = document.source.uri === null ? '' : ` (${document.source.uri.replace(/^https?:\/\//, '').replace(/\.git$/, '')})`;
      const hashed = packages.every((one) => one.hashed) ? ', each with its hash' : '';
      out(`  <-  commit ${document.source.commit.slice(0, 7)}${subject === null ? '' : ` "${subject}"`}${source}  <-  ${count(packages.length, 'package')}${hashed}`);
      const words = [...by.map(({ what, who }) => `${what} by ${who.join(', ')}`), `verdict ${revision.verdict === null ? 'none' : short(revision.verdict)}`];
      for (const one of taken) out(`  revoked    ${one.what}, by ${one.by}: ${one.reason}; log ${one.logIndex}`);
      out(`  vouched    ${words.join('; ')}; log ${first}-${last}, proven against checkpoint ${root.slice(0, 12)}`);
    }
    return {
      application: timeline.application, environment, revision: { number: revision.number, state: revision.state, content: revision.content, restores: revision.restores }, release: revision.release,
      components, commit: { commit: document.source.commit, uri: document.source.uri, subject }, packages: packages.length, vouched: by, revoked: taken, verdict: revision.verdict,
      log: { first: first ?? null, last: last ?? null, size: footing.checkpoint.size, root },
    };
  });
}

interface Traced {
  readonly application?: string;
  readonly environment: string;
  /** Of one instance, where one was asked for. */
  readonly pid?: number;
}

function placeOf(place: string | undefined): Traced {
  if (place === undefined) throw new CairnError('usage', 'an environment or a process is needed', { fix: 'cairn trace production, or cairn trace --pid PID' });
  const [environment = '', application] = place.split('/').toReversed();
  return { environment, ...(application !== undefined && { application }) };
}

/** The instance that the process is, or descends from. */
async function placeOfProcess(state: RunnerState, pid: number): Promise<Traced> {
  for (let at = pid; at > 1; at = await parentOf(at)) {
    const timeline = state.timelines.find(({ instances }) => instances.some((one) => one.pid === at));
    if (timeline !== undefined) return { application: timeline.application, environment: timeline.environment, pid: at };
  }
  throw new CairnError('unknown-reference', `process ${pid} is none that Cairn runs`, { fix: 'cairn trace ENVIRONMENT lists those that it does' });
}

async function parentOf(pid: number): Promise<number> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  // The name in brackets may hold anything, spaces and brackets too.
  return Number(text.slice(text.lastIndexOf(')') + 2).split(' ')[1] ?? 0);
}

function runningOf(state: RunnerState, { application, environment, content }: Revision) {
  return state.timelines.filter((one) => one.application === application && one.environment === environment).flatMap(({ instances }) => instances.filter((one) => one.content === content));
}

/** @throws CairnError `verification-failed`: what runs is not what the log says */
function revisionOf(live: Revision | undefined, timeline: { application: string; environment: string; revisions: readonly Revision[] }, state: RunnerState, pid: number | undefined): Revision {
  const { application, environment, revisions } = timeline;
  const running = state.timelines.find((one) => one.application === application && one.environment === environment);
  const own = running?.instances.find((one) => one.pid === pid);
  const revision = own === undefined ? live : revisions.findLast(({ content }) => content === own.content);
  if (revision === undefined) throw new CairnError('unknown-reference', `nothing of ${application} runs in ${environment}`, { fix: `cairn promote DIGEST ${environment}` });
  if (own === undefined && running !== undefined && running.live?.content !== revision.content) {
    throw new CairnError('verification-failed', `${environment} serves ${running.live === null ? 'nothing' : short(running.live.release)}, the log says ${short(revision.release)}`, { fix: 'Ask again: a switch may be under way; then cairn audit' });
  }
  return revision;
}

function signersOf(vouched: readonly Vouched[], revision: Revision): { what: string; who: string[] }[] {
  const who = (kind: string, fits: (one: Vouched) => boolean = () => true) => [...new Set(vouched.filter((one) => one.kind === kind && fits(one)).map(({ signer }) => signer))];
  const asked = (one: Vouched) => {
    const { action, environment, by } = parsePredicate('request', one.statement);
    return environment === revision.environment && (action === 'promote' || action === 'rollback') ? [by] : [];
  };
  const approved = who('approval', (one) => parsePredicate('approval', one.statement).environment === revision.environment);
  const released = [...new Set([...vouched.filter(({ kind }) => kind === 'request').flatMap(asked), ...approved])];
  return [{ what: 'built', who: who('provenance') }, { what: 'tests', who: who('tests') }, { what: 'released', who: released }].filter(({ who: people }) => people.length > 0);
}
