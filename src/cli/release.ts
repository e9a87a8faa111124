import { predicateTypes, signEnvelope, makeStatement, type Statement } from '#attest';
import { buildApplication, commitsSince, resolveCommit, type BuildEvent, type Built, type Commit } from '#build';
import { canonicalJson } from '#core';
import { copyTree, emptyBytes, fileStore, mediaTypes, registryClient, type ContentStore, type Platform } from '#oci';
import { makeRelease, type ReleaseBlobs, type ReleaseInput, type SignedStatement } from '#release';
import { spkiOf } from '#sign';
import type { Context, System } from './context.ts';
import { deliver } from './outbox.ts';
import { count, row, run, short, size, type CommonFlags } from './output.ts';
import { statementsOf } from './release-statements.ts';
import { openSession, ownSigner, persist, personName, readDefinition, type Session } from './session.ts';

export interface ReleaseFlags extends CommonFlags {
  readonly dirty?: boolean;
}

export async function release(this: Context, flags: ReleaseFlags): Promise<void> {
  await run(this, flags, async () => {
    const { system } = this;
    const signal = system.untilInterrupted();
    const commit = await resolveCommit(system.environment, system.directory, flags.dirty === true);
    try {
      const { application, stages } = await readDefinition(system);
      const width = Math.max(application.length, ...stages.map(({ name }) => name.length + 3));
      const say = (label: string, ...columns: string[]) => (flags.json ? undefined : row(this, label.padEnd(width), ...columns));
      const show = (line: string | null) => (flags.json ? undefined : system.showing(line));
      const session = await openSession(system);
      const { origin } = await session.api.info();
      say(
        'source',
        `${commit.commit.slice(0, 7)} "${commit.subject}"`,
        commit.changes === null ? `clean, ${commit.branch}` : `${count(commit.changes.files, 'file')} changed: tree ${commit.changes.tree.slice(0, 7)}`,
      );

      const store = fileStore(session.home.paths.builds);
      const built = await build(system, session, { commit, application, store, signal }, { say, show });
      const made = makeRelease(releaseInput(built, commit));
      // From here on a signal changes nothing: what follows is short, and where it is cut off the next cairn release ends it.
      const signed = await vouch(system, session, { built, made, commit, origin });
      await publish(system, session, store, made, application);
      const logged = await log(system, session, application, signed);
      if (logged.kinds.length > 0) say('ok proof', logged.kinds.join(', '), '', `signed ${personName(system)}, ${logged.queued === 0 ? `logged ${range(logged.entries)}` : `${logged.queued} queued: the log is away`}`);
      if (commit.changes !== null) say('dirty', 'built from changes that are in no commit', '', 'production refuses it');
      say(
        application,
        short(made.digest),
        '',
        logged.again ? 'released before: the same digest' : `same ${commit.changes === null ? 'commit' : 'tree'}, same digest, anywhere`,
      );
      say('next', `cairn promote ${short(made.digest)} staging`);
      return {
        release: made.digest,
        commit: commit.commit,
        changes: commit.changes?.tree ?? null,
        again: logged.again,
        tests: built.tests,
        isolation: built.isolation,
        statements: logged.kinds,
        logged: logged.entries,
        queued: logged.queued,
        document: JSON.parse(canonicalJson(made.document).toString('utf8')) as unknown,
      };
    } finally {
      await commit.changes?.discard();
    }
  });
}

interface Building {
  readonly commit: Commit;
  readonly application: string;
  readonly store: ContentStore;
  readonly signal: AbortSignal;
}

interface Told {
  /** A line that stays. */
  say(label: string, ...columns: string[]): void;
  /** A line that the next one takes the place of. */
  show(line: string | null): void;
}

async function build(system: System, { home }: Session, options: Building, { say, show }: Told): Promise<Built> {
  const [os = '', architecture = ''] = system.platform.split('/');
  const platform: Platform = { os, architecture };
  try {
    return await buildApplication({
      ...options,
      platform,
      repository: system.directory,
      cache: home.paths.builds,
      users: home.paths.isolation,
      host: system.environment,
      nodeBinary: system.nodeBinary,
      clock: system.clock,
      progress: (event) => {
        if (event.kind === 'waiting') return show('  .. waiting for another build of this application');
        const { name, run: command = 'files of the commit' } = event.stage;
        if (event.kind === 'started') show(`  .. ${name}  ${command}`);
        else if (event.kind === 'line') {
          if (event.line.trim() !== '') show(`  .. ${name}  ${event.line}`);
        } else {
          show(null);
          say(`ok ${name}`, brief(command), `${(event.milliseconds / 1000).toFixed(1)} s`, resultOf(event));
        }
      },
    });
  } finally {
    show(null);
  }
}

/** A command in the width of a column. */
function brief(command: string): string {
  const line = command.trim().replaceAll(/\s*\n\s*/g, '; ');
  return line.length <= 30 ? line : `${line.slice(0, 27)}...`;
}

function resultOf({ layer, tests }: Extract<BuildEvent, { kind: 'done' }>): string {
  const counted = tests === null ? [] : [tests.passed === null ? 'passed' : `${count(tests.passed, 'test')} passed`];
  const packed = layer === null ? [] : [`layer ${short(layer.descriptor.digest)}  ${size(layer.descriptor.size)}`];
  return [...counted, ...packed].join(', ');
}

/** The release's parts from the definition's: what a component is made of is bound by its digest, and not said again. */
function releaseInput({ definition, toolchain, stages, components }: Built, { commit, committedAt, changes }: Commit): ReleaseInput {
  const { application, source = null, configuration, secrets, schema = null, confirm } = definition;
  const input = {
    application,
    source: { uri: source, commit, ...(changes !== null && { changes: changes.tree }) },
    created: committedAt,
    toolchain: [...toolchain],
    stages,
    components: components.map(({ name, manifest }) => {
      const { layers: _, ...component } = definition.components[name] ?? {};
      return { ...component, name, manifests: [manifest] };
    }),
    configuration,
    ...(secrets !== undefined && { secrets }),
    schema,
    confirm,
  };
  return input as unknown as ReleaseInput;
}

async function publish(system: System, { url }: Session, store: ContentStore, made: ReleaseBlobs, application: string): Promise<void> {
  for (const bytes of [emptyBytes, made.documentBytes, made.documentManifest, ...made.componentIndexes, made.index]) await store.write(bytes);
  const registry = registryClient(url, application);
  await persist(system, () => copyTree(store, registry, { mediaType: mediaTypes.imageIndex, digest: made.digest, size: made.index.byteLength }));
  for (const index of made.componentIndexes) await registry.pushManifest(index, mediaTypes.imageIndex);
}

interface Vouched {
  /** Whether the release is known already. */
  readonly again: boolean;
  readonly signed: readonly { readonly kind: string; readonly statement: SignedStatement }[];
}

/** Signs what is not said of the release yet, before anything is published: who cannot sign publishes nothing. */
async function vouch(
  system: System,
  { api, home }: Session,
  { built, made, commit, origin }: { built: Built; made: ReleaseBlobs; commit: Commit; origin: string },
): Promise<Vouched> {
  const { application } = made.document;
  const said = await persist(system, () => alreadySaid(api, made));
  const again = said.has(predicateTypes.provenance);
  const before = again ? null : await persist(system, () => api.latestRelease(application));
  const notes = await commitsSince(system.environment, system.directory, commit.commit, before?.commit ?? null);
  const wanted = statementsOf({ built, made, commit, origin, person: personName(system), version: system.version, invocation: system.random(16), notes });
  // One that is not known yet gets all of them: a bill of the same components is still the bill of another commit.
  const missing = wanted.filter(({ statement }) => !again || !said.has(statement.predicateType));
  if (missing.length === 0) return { again, signed: [] };
  // Only now, with every stage dead, is the key opened.
  const signer = await ownSigner(system, home);
  const key = spkiOf(signer.publicKey).toString('base64');
  return { again, signed: missing.map(({ kind, statement }) => ({ kind, statement: { envelope: signEnvelope(makeStatement(statement), signer), key } })) };
}

/** Provenance comes last: by it a release is known, so that one that was cut off before is not taken for whole. */
async function log(
  system: System,
  session: Session,
  application: string,
  { again, signed }: Vouched,
): Promise<{ again: boolean; kinds: string[]; entries: number[]; queued: number }> {
  const entries: (number | null)[] = [];
  for (const { statement } of signed) entries.push((await deliver(system, session, application, statement)).logIndex);
  const there = entries.filter((one) => one !== null);
  return { again, kinds: signed.map(({ kind }) => kind), entries: there, queued: entries.length - there.length };
}

/** Types of the statements that are there for this release; a bill of materials counts if it is of all its components. */
async function alreadySaid(api: Session['api'], { digest, document }: ReleaseBlobs): Promise<ReadonlySet<string>> {
  const said = new Set((await api.statements(digest)).map(({ predicateType }) => predicateType));
  const [first] = document.components;
  for (const { predicateType, bundle } of first === undefined ? [] : await api.statements(first.digest)) {
    if (predicateType !== predicateTypes.sbom) continue;
    const { subject } = JSON.parse(Buffer.from(bundle.dsseEnvelope.payload, 'base64').toString('utf8')) as Statement;
    if (document.components.every((one) => subject.some((other) => `sha256:${other.digest.sha256}` === one.digest))) said.add(predicateType);
  }
  return said;
}

function range(entries: readonly number[]): string {
  const [first, last] = [entries[0], entries.at(-1)];
  return first === last ? String(first) : `${first}-${last}`;
}
