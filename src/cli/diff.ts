import { diffComponents, diffFiles, diffPackages, diffRecord, diffSets, type FileChange, type PackageChange, type RecordChange } from '#diff';
import { registryClient, type RegistryClient } from '#oci';
import type { ReleaseDocument } from '#release';
import { takeApart, type Anatomy } from './anatomy.ts';
import { commitsBetween, type CommitDifference } from './commits.ts';
import type { Context } from './context.ts';
import { gather, packagesOf, type Vouched } from './evidence.ts';
import { openFooting } from './footing.ts';
import { count, row, run, short, type CommonFlags } from './output.ts';
import { resolve, type Resolved } from './reference.ts';
import { openSession } from './session.ts';

/** What differs between two releases, or between what runs and what ran: each side read from verified bytes. */
export async function diff(this: Context, flags: CommonFlags, before: string, after: string): Promise<void> {
  await run(this, flags, async () => {
    const session = await openSession(this.system);
    const [a, b] = [await resolve(this.system, session, before), await resolve(this.system, session, after)];
    const footing = await openFooting(this.system, session);
    const read = async (side: Resolved) => {
      const registry = registryClient(session.url, side.application);
      const anatomy = await takeApart(registry, side.application, side.release);
      return { ...side, registry, anatomy, vouched: await gather(session, footing, anatomy.document, side.release) };
    };
    const [from, to] = [await read(a), await read(b)];
    const documents = [from.anatomy.document, to.anatomy.document] as const;
    const side = ({ application, release, anatomy }: typeof from) => ({ application, release, commit: anatomy.document.source.commit });
    const commits = await commitsBetween(this.system, session, footing, side(from), side(to));
    const packages = diffPackages(packagesOf(from.vouched, documents[0]), packagesOf(to.vouched, documents[1]));
    const configuration = diffRecord(settingsOf(from), settingsOf(to));
    const secrets = diffRecord(secretsOf(from), secretsOf(to));
    const components = diffComponents(documents[0].components, documents[1].components);
    const toolchain = diffRecord(toolsOf(documents[0]), toolsOf(documents[1]));
    const files = await filesBetween(from, to);
    const evidence = { kinds: diffSets(kindsOf(from.vouched), kindsOf(to.vouched)), people: diffSets(peopleOf(from.vouched), peopleOf(to.vouched)) };
    if (!flags.json) {
      row(this, 'from', a.label);
      row(this, 'to', b.label);
      printCommits(this, commits);
      list(this, 'packages', packages.map(packageWords));
      list(this, 'tools', toolchain.map(recordWords));
      list(this, 'components', components.map(({ name, change, settings }) => (change === 'changed' ? `${name} ${settings.map(recordWords).join(', ')}` : `${name} ${change}`)));
      list(this, 'config', configuration.map(recordWords));
      list(this, 'secrets', secrets.map(recordWords));
      printFiles(this, files);
      if (from.release === to.release && configuration.length + secrets.length === 0) row(this, 'same', 'release and settings are equal');
      row(this, 'evidence', ...evidenceWords(evidence));
    }
    const end = ({ application, release, revision, anatomy }: typeof from) => ({ application, release, commit: anatomy.document.source.commit, revision: revision === null ? null : { environment: revision.environment, number: revision.number } });
    return { from: end(from), to: end(to), commits, packages, toolchain, components, configuration, secrets, files, evidence };
  });
}

/** What the processes are given: the release's defaults under the revision's own settings. */
function settingsOf({ anatomy, revision }: { anatomy: Anatomy; revision: Resolved['revision'] }): Record<string, string> {
  return { ...anatomy.document.configuration, ...revision?.configuration };
}

/** Versions where a revision pins them; of a release alone, the way it wants them. */
function secretsOf({ anatomy, revision }: { anatomy: Anatomy; revision: Resolved['revision'] }): Record<string, string> {
  const pinned = Object.entries(revision?.secrets ?? {}).map(([name, version]) => [name, `v${version}`] as const);
  return { ...anatomy.document.secrets, ...Object.fromEntries(pinned) };
}

function toolsOf({ toolchain }: ReleaseDocument): Record<string, string> {
  return Object.fromEntries(toolchain.map(({ name, version, platform, digest }) => [platform === null ? name : `${name} ${platform}`, `${version} ${short(digest)}`]));
}

interface Read {
  readonly anatomy: Anatomy;
  readonly registry: RegistryClient;
}

/** Components whose image is another, layer by layer. A file that several components share is told once. */
async function filesBetween(before: Read, after: Read): Promise<(FileChange & { components: string[] })[]> {
  const found = new Map<string, FileChange & { components: string[] }>();
  const open = (side: Read, other: Read) => (digest: Parameters<RegistryClient['blobStream']>[0]) => side.registry.blobStream(digest).catch(() => other.registry.blobStream(digest));
  for (const part of after.anatomy.parts) {
    const old = before.anatomy.parts.find((one) => one.component.name === part.component.name && one.platform === part.platform);
    if (old === undefined || old.image === part.image) continue;
    for (const change of await diffFiles(old.layers, part.layers, open(after, before))) {
      const path = change.path.replace(/^app\//, '');
      const key = JSON.stringify([path, change.from, change.to]);
      const known = found.get(key) ?? { ...change, path, components: [] };
      found.set(key, { ...known, components: [...new Set([...known.components, part.component.name])] });
    }
  }
  return [...found.values()];
}

function kindsOf(vouched: readonly Vouched[]): string[] {
  return vouched.map(({ kind }) => kind).filter((kind) => ['provenance', 'sbom', 'tests', 'notes', 'approval'].includes(kind));
}

function peopleOf(vouched: readonly Vouched[]): string[] {
  return vouched.map(({ signer }) => signer).filter((name) => name !== 'record' && !name.startsWith('admit-'));
}

const most = 6;

function list(context: Context, label: string, items: readonly string[], between = '   '): void {
  const shown = items.slice(0, most).join(between);
  if (items.length === 0) return;
  row(context, label, `${String(items.length).padEnd(8)} ${shown}${items.length > most ? `${between}and ${items.length - most} more` : ''}`);
}

function printCommits(context: Context, { added, removed, from }: CommitDifference): void {
  if (from === null) return row(context, 'commits', 'not known here', 'run it in the repository that has both');
  const words = ({ commit, subject }: { commit: string; subject: string }) => `${commit.slice(0, 7)} "${subject}"`;
  list(context, 'commits', added.map(words));
  list(context, 'left out', removed.map(words));
}

/** What packages brought is told by the packages; the application's own files come first. */
function printFiles(context: Context, files: readonly (FileChange & { components: readonly string[] })[]): void {
  const own = files.filter(({ path }) => !path.includes('node_modules/'));
  list(context, 'files', own.map(fileWords), ', ');
  if (own.length < files.length) row(context, own.length === 0 ? 'files' : '', `${String(files.length - own.length).padEnd(8)} in node_modules`);
}

function packageWords({ name, from, to, distance, back }: PackageChange): string {
  if (from === null) return `${name} ${to} added`;
  if (to === null) return `${name} ${from} removed`;
  return `${name} ${from} -> ${to} (${distance}${back ? ', back' : ''})`;
}

function recordWords({ name, from, to }: RecordChange): string {
  return `${name} ${from ?? 'absent'} -> ${to ?? 'absent'}`;
}

function fileWords({ path, change, lines, components }: FileChange & { components: readonly string[] }): string {
  const counted = lines === null ? change : [lines.added > 0 ? `+${lines.added}` : '', lines.removed > 0 ? `-${lines.removed}` : ''].filter((one) => one !== '').join(' ') || change;
  return `${components.length > 1 ? `${components.join('+')}:` : ''}${path} ${counted}`;
}

function evidenceWords({ kinds, people }: { kinds: ReturnType<typeof diffSets>; people: ReturnType<typeof diffSets> }): string[] {
  const differ = [...kinds.added.map((kind) => `+${kind}`), ...kinds.removed.map((kind) => `-${kind}`)];
  const [a, b] = [people.before.length, people.after.length];
  return [differ.length === 0 ? 'equal kinds' : differ.join(' '), a === b ? `${count(a, 'person', 'people')} both times` : `${a} -> ${count(b, 'person', 'people')}`];
}
