import { parsePredicate } from '#attest';
import { registryClient } from '#oci';
import type { ComponentDocument, ReleaseDocument } from '#release';
import { takeApart, type Part } from './anatomy.ts';
import type { Context } from './context.ts';
import { gather, packagesOf, says, type Vouched } from './evidence.ts';
import { openFooting } from './footing.ts';
import { count, row, run, short, size, type CommonFlags } from './output.ts';
import { resolve } from './reference.ts';
import { takenBack } from './revoked.ts';
import { openSession } from './session.ts';

const evidenceKinds: ReadonlySet<string> = new Set(['provenance', 'sbom', 'spdx', 'tests', 'scan', 'findings', 'foreign', 'approval', 'verdict', 'revocation', 'breakGlass', 'settlement', 'incident', 'resolution', 'drill']);
const most = 10;

/** All that a release is, and all that was said about it: verified on the way, but for the layers' bytes, which `verify` reads. */
export async function show(this: Context, flags: CommonFlags, reference: string): Promise<void> {
  await run(this, flags, async () => {
    const session = await openSession(this.system);
    const { application, release, label } = await resolve(this.system, session, reference);
    const footing = await openFooting(this.system, session);
    const { document, parts } = await takeApart(registryClient(session.url, application), application, release);
    const vouched = await gather(session, footing, document, release);
    const packages = packagesOf(vouched, document);
    const commits = commitsOf(vouched);
    const taken = await takenBack(session, footing, vouched, packages);
    const ran = (await session.api.timelines()).filter((one) => one.application === application).flatMap(({ revisions }) => revisions.filter((one) => one.release === release));
    if (!flags.json) {
      row(this, 'release', label, release);
      row(this, 'source', sourceOf(document, commits), document.source.uri ?? '', document.created);
      for (const { name, version, digest } of document.toolchain) row(this, 'tool', `${name} ${version}`, short(digest));
      for (const part of parts) printPart(this, part);
      for (const [name, value] of Object.entries(document.configuration)) row(this, 'config', `${name}=${value}`);
      for (const [name, way] of Object.entries(document.secrets ?? {})) row(this, 'secret', name, way === 'pin' ? 'goes back with the content' : 'follows its newest version');
      if (document.schema !== null) row(this, 'schema', `${document.schema.minimum} to ${document.schema.maximum}`);
      for (const { kind, signer, logIndex, ...one } of vouched.filter(({ kind }) => evidenceKinds.has(kind))) {
        const by = kind === 'foreign' ? await import('./foreign-signer.ts').then(({ foreignSigner }) => foreignSigner(one.statement, footing, session.home)) : signer;
        row(this, kind, says({ kind, ...one }), `by ${by}`, `logged ${logIndex}`);
      }
      for (const { kind, what, by, reason, logIndex } of taken) if (kind !== 'release') row(this, 'revoked', what, `by ${by}: ${reason}`, `logged ${logIndex}`);
      for (const { commit, subject } of commits.slice(0, most)) row(this, 'commit', `${commit.slice(0, 7)} "${subject}"`);
      if (commits.length > most) row(this, '', `and ${commits.length - most} more`);
      for (const one of ran) row(this, 'ran', `${one.environment}, revision ${one.number}`, one.state, `by ${one.by}${one.reason === null ? '' : `: ${one.reason}`}`);
      row(this, 'next', `cairn verify ${short(release)}`, 'reads every byte again');
    }
    return {
      application, release, document,
      components: parts.map(({ component, platform, image, layers }) => ({ name: component.name, kind: component.kind, platform, image, layers })),
      packages: packages.map(({ name, version, purl }) => ({ name, version, purl })),
      commits,
      revoked: taken,
      statements: vouched.map((one) => ({ kind: one.kind, predicateType: one.predicateType, says: says(one), signer: one.signer, logIndex: one.logIndex, time: one.time, envelope: one.envelope })),
      revisions: ran.map(({ environment, number, state, by, reason, restores }) => ({ environment, number, state, by, reason, restores })),
    };
  });
}

/** Of the release notes; empty where there are none. */
export function commitsOf(vouched: readonly Vouched[]): { commit: string; subject: string }[] {
  const notes = vouched.findLast(({ kind }) => kind === 'notes');
  return notes === undefined ? [] : parsePredicate('notes', notes.statement).commits.map(({ commit, subject }) => ({ commit, subject }));
}

function sourceOf({ source }: ReleaseDocument, commits: readonly { commit: string; subject: string }[]): string {
  const subject = commits.find(({ commit }) => commit === source.commit)?.subject;
  return `${source.commit.slice(0, 7)}${subject === undefined ? '' : ` "${subject}"`}${source.changes === undefined ? '' : ' and changes that no commit has'}`;
}

function printPart(context: Context, { component, platform, image, layers }: Part): void {
  row(context, component.name, `${component.kind} ${short(image)}`, platform, manner(component));
  for (const layer of layers) row(context, '', `layer ${layer.stage.padEnd(14)} ${short(layer.digest)}`, size(layer.size));
}

function manner(component: ComponentDocument): string {
  switch (component.kind) {
    case 'web':
      return `${component.command.join(' ')}, ${count(component.instances, 'instance')}, health ${'path' in component.health ? component.health.path : 'by TCP'}`;
    case 'worker':
      return `${component.command.join(' ')}, ${count(component.instances, 'instance')}`;
    case 'cron':
      return `${component.command.join(' ')} at ${component.schedule}`;
    case 'task':
      return `${component.command.join(' ')}, before the switch`;
    case 'files':
      return `at ${(component.routes ?? []).map(({ host = '', path }) => `${host}${path}`).join(', ') || 'no route'}`;
    default:
      return component satisfies never;
  }
}
