import { basename, resolve as pathOf } from 'node:path';
import { makeStatement, openScanner, predicateTypes, signEnvelope, subjectOf } from '#attest';
import { CairnError } from '#core';
import { saysOf } from '#release';
import { spkiOf } from '#sign';
import type { Context } from './context.ts';
import { gather, type Vouched } from './evidence.ts';
import { openFooting } from './footing.ts';
import { deliver, loggedAs } from './outbox.ts';
import { count, row, run, short, type CommonFlags } from './output.ts';
import { resolve } from './reference.ts';
import { openSession, ownSigner, persist, personName } from './session.ts';
import { readOsvFolder } from './osv-folder.ts';

const gravest = ['critical', 'high', 'medium', 'low', 'none', 'unknown'];

/**
 * Holds what a release is made of, by its verified bills of materials, against a folder of OSV entries, and signs what is found. Finding
 * something is no failure: a gate reads the statement and decides.
 */
export async function scan(this: Context, flags: CommonFlags & { readonly osv: string }, reference: string): Promise<void> {
  await run(this, flags, async () => {
    const { system } = this;
    const session = await openSession(system);
    const { application, release } = await persist(system, () => resolve(system, session, reference));
    const footing = await openFooting(system, session);
    const document = await session.api.document(application, release);
    const purls = billed(await gather(session, footing, document, release));
    if (purls.length === 0) throw new CairnError('not-found', `no bill of materials says what ${short(release)} is made of`, { fix: `cairn release makes one, or: cairn attest ${short(release)} --cyclonedx FILE` });

    const started = now(system.clock.now());
    const { matcher, predicate } = await openScanner(purls);
    const folder = pathOf(system.directory, flags.osv);
    const { digest } = await readOsvFolder(folder, (bytes, name) => matcher.add(bytes, name));
    const matched = matcher.result();
    const made = predicate(matched, { uri: `urn:osv:${basename(folder)}`, digest }, { version: system.version, started, finished: now(system.clock.now()) });

    const signer = await ownSigner(system, session.home);
    const subject = [subjectOf(application, release), ...document.components.map((one) => subjectOf(one.name, one.digest))];
    const envelope = signEnvelope(makeStatement({ predicateType: predicateTypes.scan, subject, predicate: made }), signer);
    const logged = await deliver(system, session, application, { envelope, key: spkiOf(signer.publicKey).toString('base64') });
    const { packages, entries, modified, uncompared, unknown } = matched;
    const found = matched.found.toSorted((a, b) => gravest.indexOf(a.severity) - gravest.indexOf(b.severity) || (b.score ?? 0) - (a.score ?? 0) || (a.id < b.id ? -1 : 1));
    if (!flags.json) {
      row(this, 'packages', `${count(packages, 'package')} of ${application} ${short(release)}`, `${count(entries, 'entry', 'entries')}, newest ${modified ?? 'unknown'}`, `database ${short(digest)}`);
      for (const one of found) row(this, one.severity, one.id, one.package, one.fixed === null ? 'no fix yet' : `fixed in ${one.fixed}`, one.score === null ? '' : String(one.score));
      if (uncompared.length > 0) row(this, '', `${count(uncompared.length, 'entry', 'entries')} cannot be compared with a version here`, `such as ${uncompared[0]?.id} and ${uncompared[0]?.package}`);
      if (unknown.length > 0) row(this, '', `${count(unknown.length, 'package')} of ecosystems that are not scanned`, `such as ${unknown[0]}`);
      row(this, 'scan', count(found.length, 'vulnerability', 'vulnerabilities'), `by ${personName(system)}`, loggedAs(logged.logIndex));
    }
    return {
      application, release, statement: logged.digest, logIndex: logged.logIndex, packages, database: { digest, entries, modified }, uncompared, unknown,
      vulnerabilities: found.map(({ id, aliases, package: purl, severity, score, fixed }) => ({ id, aliases, package: purl, severity, score, fixed })),
    };
  });
}

/** Of all its bills together: one that leaves something out hides nothing that another one names. */
function billed(vouched: readonly Vouched[]): string[] {
  const packages = vouched.flatMap(({ statement }) => {
    const said = saysOf(statement);
    return said?.kind === 'sbom' ? said.packages : [];
  });
  return [...new Set(packages.map(({ purl }) => purl))].filter((purl) => purl !== '');
}

function now(time: Date): string {
  return `${time.toISOString().slice(0, 19)}Z`;
}
