import { readFile, stat } from 'node:fs/promises';
import { basename, resolve as pathOf } from 'node:path';
import { importReport, largestReport, makeStatement, reportFormats, signEnvelope, subjectOf, type ReportFormat, type Statement } from '#attest';
import { asCairnError, CairnError, isDigest, type Digest } from '#core';
import type { ReleaseDocument } from '#release';
import { spkiOf } from '#sign';
import { bringBundle, bringFrom, collectOwn } from './attest-foreign.ts';
import type { Context, System } from './context.ts';
import { says } from './evidence.ts';
import { deliver, loggedAs, type Delivered } from './outbox.ts';
import { count, row, run, short, type CommonFlags } from './output.ts';
import { resolve } from './reference.ts';
import { openSession, ownSigner, persist, personName, readDefinition, type Session } from './session.ts';

export type AttestFlags = CommonFlags & { readonly [F in ReportFormat]?: readonly string[] } & {
  readonly bundle?: readonly string[];
  readonly from?: string;
  readonly collect?: boolean;
  readonly keyless?: boolean;
  readonly fulcio?: string;
  readonly timestamp?: string;
};

interface Stated {
  readonly kind: string;
  readonly format: ReportFormat;
  readonly predicateType: string;
  readonly report: Digest;
  readonly says: string;
  readonly statement: Digest;
  readonly logIndex: number | null;
}

interface Report {
  readonly file: string;
  readonly format: ReportFormat | undefined;
}

/**
 * Signs what other tools found out about a release: each report becomes a statement, logged and attached. Every report is read before the
 * first one is signed, so that one that is refused leaves nothing half said.
 */
export async function attest(this: Context, flags: AttestFlags, reference: string, ...files: string[]): Promise<void> {
  await run(this, flags, async () => {
    const { system } = this;
    const reports = reportsOf(flags, files);
    if (reports.length === 0 && !isForeign(flags)) throw new CairnError('usage', 'there is nothing to attest', { fix: 'cairn attest DIGEST FILE: a report of JUnit, SARIF, OSV-Scanner, CycloneDX or SPDX' });
    const imported = [];
    for (const { file, format } of reports) imported.push(await importReport(basename(file), await read(system, file), format));
    const session = await openSession(system);
    const { application, release } = await locate(system, session, reference);
    const document = await documentOf(system, session, application, release, imported.some(({ kind }) => bills.has(kind)) || isForeign(flags) || flags.keyless === true);
    const foreign = document === null ? { logged: [], others: 0 } : await bringForeign(this, flags, session, application, release, document);
    const statements: Stated[] = [];
    if (imported.length === 0) return { application, release, statements, foreign };
    const vouch = flags.keyless === true ? await vouchKeyless(system, session, flags, application, release) : await vouchWithKey(system, session, application);
    for (const { kind, format, predicateType, predicate, report } of imported) {
      const statement = { predicateType, subject: subjectsOf(kind, application, release, document), predicate };
      const { by, digest, logIndex } = await vouch(statement);
      const said = says({ kind, statement });
      if (!flags.json) row(this, kind, said, `by ${by}`, loggedAs(logIndex));
      statements.push({ kind, format, predicateType, report, says: said, statement: digest, logIndex });
    }
    if (!flags.json) row(this, 'attested', `${application} ${short(release)}`);
    return { application, release, statements, foreign };
  });
}

type Vouch = (statement: Statement) => Promise<Delivered & { readonly by: string }>;

async function vouchWithKey(system: System, session: Session, application: string): Promise<Vouch> {
  const signer = await ownSigner(system, session.home);
  const key = spkiOf(signer.publicKey).toString('base64');
  return async (statement) => ({ by: personName(system), ...(await deliver(system, session, application, { envelope: signEnvelope(makeStatement(statement), signer), key })) });
}

/** As whoever the CI's token says: a certificate of ten minutes, a timestamp, and an entry in our own log. The server then holds the bundle to the policy, as every bundle. */
async function vouchKeyless(system: System, session: Session, { fulcio = publicFulcio, timestamp = publicTimestamp }: AttestFlags, application: string, release: Digest): Promise<Vouch> {
  const { signKeyless, tokenOf } = await import('#keyless');
  const token = await tokenOf(system.environment);
  return async (statement) => {
    const { bundle } = await signKeyless(makeStatement(statement), token, { fulcio, timestamp, log: session.url }, Buffer.from(system.random(16), 'hex'));
    const { digest, logIndex } = await persist(system, () => session.api.addForeign(application, release, { form: 'bundle', bundle: bundle.toString('utf8') }));
    return { by: token.subject, digest, logIndex };
  };
}

const publicFulcio = 'https://fulcio.sigstore.dev';
const publicTimestamp = 'https://timestamp.sigstore.dev/api/v1/timestamp';

/** What other tools signed: it counts by the signature inside, so that no key of ours is asked for. */
async function bringForeign(context: Context, { bundle = [], from, collect = false, json }: AttestFlags, session: Session, application: string, release: Digest, document: ReleaseDocument) {
  const { system } = context;
  const say = (...columns: string[]) => (json ? undefined : row(context, ...(columns as [string, ...string[]])));
  const logged: number[] = [];
  let others = 0;
  for (const file of bundle) {
    const { logIndex } = await bringBundle(system, session, application, release, file);
    logged.push(logIndex);
    say('bundle', basename(file), `logged ${logIndex}`);
  }
  if (collect) {
    const own = await collectOwn(system, session, application, release);
    logged.push(...own.logged);
    others += own.others;
    say('collected', count(own.logged.length, 'statement'), `of ${count(own.looked, 'attachment')} that nobody looked at before`);
  }
  if (from !== undefined) {
    const { brought, others: alone } = await bringFrom(system, session, application, release, document, from);
    logged.push(...brought.map(({ logIndex }) => logIndex));
    others += alone;
    say('brought', `${count(brought.length, 'statement')} from ${from}`, alone === 0 ? '' : `${count(alone, 'other')} left alone`);
  }
  return { logged: [...new Set(logged)], others };
}

function reportsOf(flags: AttestFlags, files: readonly string[]): Report[] {
  return [...reportFormats.flatMap((format) => (flags[format] ?? []).map((file) => ({ file, format }))), ...files.map((file) => ({ file, format: undefined }))];
}

async function read(system: System, file: string): Promise<Buffer> {
  const path = pathOf(system.directory, file);
  try {
    const { size } = await stat(path);
    if (size > largestReport) throw new CairnError('malformed-document', `${file} has ${size} bytes, more than the ${largestReport} allowed`, { fix: 'Have the tool write less, such as packages without their files', context: { reason: 'too-large' } });
    return await readFile(path);
  } catch (cause) {
    if (cause instanceof CairnError) throw cause;
    throw new CairnError('not-found', `${file} cannot be read: ${(cause as Error).message}`, { cause, fix: 'Give the path of a report' });
  }
}

/** Bills of materials: they are of the components alone. */
const bills: ReadonlySet<string> = new Set(['sbom', 'spdx']);

function isForeign({ bundle, from, collect }: AttestFlags): boolean {
  return bundle !== undefined || from !== undefined || collect === true;
}

/** A whole digest needs no server: what is signed during an outage names one. */
async function locate(system: System, session: Session, reference: string): Promise<{ application: string; release: Digest }> {
  const [, name, digest] = /^(?:([a-z0-9][a-z0-9-]*)@)?(.*)$/.exec(reference) ?? [];
  if (!isDigest(digest)) return persist(system, () => resolve(system, session, reference));
  return { application: name ?? (await readDefinition(system)).application, release: digest };
}

/** Null where the server is away and the release's own digest is all that is needed. */
async function documentOf(system: System, session: Session, application: string, release: Digest, needed: boolean): Promise<ReleaseDocument | null> {
  try {
    return await persist(system, () => session.api.document(application, release), 5_000);
  } catch (thrown) {
    if (needed || asCairnError(thrown).code !== 'unreachable') throw thrown;
    return null;
  }
}

/** A bill is of the components, so that whoever sees an image finds it; what was found out is of the release as well. */
function subjectsOf(kind: string, application: string, release: Digest, document: ReleaseDocument | null): Statement['subject'] {
  const components = (document?.components ?? []).map((one) => subjectOf(one.name, one.digest));
  return bills.has(kind) ? components : [subjectOf(application, release), ...components];
}
