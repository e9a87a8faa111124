import { bundleMediaType, parseBundle, parsePredicate, subjectDigests, type Bundle } from '#attest';
import { CairnError, isDigest, type Digest } from '#core';
import type { Home } from '#home';
import { isIndex, parseManifest, type RegistryClient } from '#oci';
import type { ReleaseDocument } from '#release';
import { keyHint } from '#sign';
import { verifyBundle, type Verified } from '#verify';
import type { Ahead, Early } from './ahead.ts';
import { rehash, takeApart } from './anatomy.ts';
import type { Context, System } from './context.ts';
import { gather, packagesOf, says, type Vouched } from './evidence.ts';
import { knownKeys, openFooting, type Footing } from './footing.ts';
import { nearRegistry, openNear } from './near.ts';
import { publicKey } from './public-key.ts';
import { count, row, run, short, size, type CommonFlags } from './output.ts';
import { resolve } from './reference.ts';
import { requireNotRevoked, requireVouched, standing, takenBack } from './revoked.ts';
import { readDefinition, type Session } from './session.ts';
import { witnessedBy } from './witnessed.ts';

interface VerifyFlags extends CommonFlags {
  readonly capsule?: string;
  readonly trust?: string;
  readonly sigstoreRoot?: string;
  readonly trustCapsule: boolean;
}

/** What came of evidence, and none itself. */
const recorded: ReadonlySet<string> = new Set(['request', 'intent', 'outcome']);

/**
 * Checks a release from its bytes, believing only cairn.trust.json: the policy against its digest, the log against the
 * checkpoint remembered here, the index against the digest and all that it leads to, every layer read and hashed again, every
 * statement's signature and proof, as the ledger has it and as the registry shows it to other tools.
 */
export async function verify(this: Context, flags: VerifyFlags, reference?: string, ahead: { readonly early?: Early; readonly hashed?: Ahead | undefined } = {}): Promise<void> {
  await run(this, flags, async () => {
    if (flags.capsule !== undefined) {
      if (reference !== undefined) throw new CairnError('usage', 'a capsule says itself which release it is of', { fix: `cairn verify --capsule ${flags.capsule}` });
      const { verifyCapsule } = await import('./verify-capsule.ts');
      return verifyCapsule(this, flags, flags.capsule);
    }
    if (flags.trust !== undefined || flags.sigstoreRoot !== undefined || flags.trustCapsule) throw new CairnError('usage', '--trust, --sigstore-root and --trust-capsule are for capsules', { fix: 'cairn verify --capsule FILE --trust cairn.trust.json' });
    if (reference === undefined) throw new CairnError('usage', 'nothing was named that is to be verified', { fix: 'cairn verify production, or cairn verify --capsule FILE' });
    const session = await openNear(this.system, ahead.early);
    const { application, release } = await which(this.system, session, reference);
    const registry = nearRegistry(session, application);
    const [footing, { document, blobs, manifests }] = await Promise.all([openFooting(this.system, session), takeApart(registry, application, release)]);
    const checkEvidence = async () => {
      const found = await gather(session, footing, document, release);
      const taken = await takenBack(session, footing, found, packagesOf(found, document));
      requireVouched(release, found, taken);
      requireProvenance(footing, document, release, standing(found, taken));
      return { vouched: found, taken, seen: await witnessedBy(session, footing, Math.max(...found.map(({ logIndex }) => logIndex))) };
    };
    const [bytes, { vouched, taken, seen }, { attached, strangers }] = await Promise.all([
      rehash(registry, blobs, ahead.hashed), checkEvidence(), readAttached(registry, footing, [release, ...document.components.map(({ digest }) => digest)], session.home),
    ]);
    const statements = vouched.map(({ predicateType, signer, logIndex, time, envelope }) => ({ predicateType, signer, logIndex, time, envelope, attached: attached.has(envelope) }));
    requireNotRevoked(release, taken);
    if (!flags.json) {
      row(this, 'release', `${application} ${release}`);
      row(this, 'ok', 'bytes', `${count(manifests, 'manifest')} and ${count(blobs.length, 'blob')}, ${size(bytes)}`, 'each re-hashed');
      const evidence = vouched.filter(({ kind }) => !recorded.has(kind));
      for (const one of standing(evidence, taken)) row(this, 'ok', one.kind, says(one), `by ${one.signer}`, `logged ${one.logIndex}`);
      if (evidence.length < vouched.length) row(this, 'ok', 'records', `${count(vouched.length - evidence.length, 'request')}, intents and outcomes`);
      row(this, 'ok', 'log', `${count(footing.checkpoint.size, 'entry', 'entries')}, grown from what was seen before`, `checkpoint ${footing.checkpoint.root.toString('hex').slice(0, 12)}`);
      if (seen.of > 0) row(this, seen.witnesses.length > 0 ? 'ok' : '', 'witnesses', `${seen.witnesses.length} of ${seen.of} have seen all of it`, seen.witnesses.map(({ name }) => name).join(', '));
      for (const { what, by, reason, envelopes } of taken) row(this, 'revoked', `${what}, by ${by}: ${reason}`, `${count(envelopes.length, 'statement')} of it ${envelopes.length === 1 ? 'counts' : 'count'} for nothing`);
      if (strangers > 0) row(this, '', `${count(strangers, 'attached statement')} of strangers`, 'they count for nothing');
      row(this, 'holds', `all of ${application} ${short(release)}`);
    }
    return { application, release, statements, revoked: taken, checkpoint: footing.checkpoint.size, root: footing.checkpoint.root.toString('hex'), witnesses: seen.witnesses.map(({ name, size: entries, time }) => ({ name, size: entries, time })), strangers, manifests, blobs: { count: blobs.length, bytes } };
  });
}

/** A whole digest is looked at even where the ledger never heard of it: that nobody vouches for it is what has to be found out. */
async function which(system: System, session: Session, reference: string): Promise<{ application: string; release: Digest }> {
  const [, name, digest] = /^(?:([a-z0-9][a-z0-9-]*)@)?(.*)$/.exec(reference) ?? [];
  if (!isDigest(digest)) return resolve(system, session, reference);
  return { application: name ?? (await readDefinition(system)).application, release: digest };
}

function requireProvenance({ policy }: Footing, document: ReleaseDocument, release: Digest, vouched: readonly Vouched[]): void {
  const builders = new Set(policy.people.filter(({ roles }) => roles.includes('builder')).map(({ name }) => name));
  const built = vouched.filter(({ kind, signer }) => kind === 'provenance' && builders.has(signer));
  if (built.length === 0) throw new CairnError('verification-failed', `nothing that this policy knows vouches for ${short(release)}`, { fix: 'cairn release' });
  for (const { statement, signer } of built) {
    const commit = parsePredicate('provenance', statement).buildDefinition.externalParameters.source.digest.gitCommit;
    if (commit !== document.source.commit) {
      throw new CairnError('verification-failed', `${signer} vouches for the commit ${commit.slice(0, 7)}, the release says ${document.source.commit.slice(0, 7)}`, { fix: 'Do not promote it; cairn audit' });
    }
  }
}

/**
 * What other tools see beside the release. Whoever reaches the registry can attach there: what no known key claims counts for nothing
 * and is only counted. What claims a known key and does not verify is a forgery, and is refused.
 */
async function readAttached(registry: RegistryClient, footing: Footing, subjects: readonly Digest[], home: Home): Promise<{ attached: Set<Digest>; strangers: number }> {
  const attached = new Set<Digest>();
  const keys = knownKeys(footing);
  const hints = new Set(keys.map((key) => keyHint(publicKey(key))));
  let strangers = 0;
  for (const subject of new Set(subjects)) {
    const referrers = await registry.referrers(subject);
    // Each is a file and a question; some at once, and no more of them in memory, however many strangers attach.
    for (let at = 0; at < referrers.length; at += 32) {
      for (const bundle of await Promise.all(referrers.slice(at, at + 32).map((one) => (one.artifactType === bundleMediaType ? readBundle(registry, one.digest) : undefined)))) {
        if (bundle === undefined || !hints.has(bundle.verificationMaterial.publicKey.hint)) {
          strangers++;
          continue;
        }
        const verified = await ours(bundle, footing, keys, home);
        if (verified === undefined) continue;
        if (!subjectDigests(verified.statement).includes(subject)) throw new CairnError('verification-failed', `the statement at log entry ${verified.logIndex} is attached to ${short(subject)} and about something else`, { fix: 'cairn audit' });
        attached.add(verified.envelope);
      }
    }
  }
  return { attached, strangers };
}

/**
 * A bundle with the key of somebody known: of Cairn, or of another tool with the same key, which is no forgery. What such a one says counts once
 * the log has it (`cairn attest --collect`), and is seen there. @throws CairnError `verification-failed`, `malformed-document`
 */
async function ours(bundle: Bundle, footing: Footing, keys: readonly string[], home: Home): Promise<Verified | undefined> {
  try {
    return verifyBundle(bundle, { log: footing.log, keys });
  } catch (error) {
    // Loaded only where there is such a bundle: it is much, and most releases have none.
    const { isForeign } = await import('./is-foreign.ts');
    if (await isForeign(bundle, footing, keys, home)) return undefined;
    throw error;
  }
}

async function readBundle(registry: RegistryClient, digest: Digest): Promise<Bundle | undefined> {
  const manifest = parseManifest((await registry.manifest(digest)).bytes);
  const [layer] = isIndex(manifest) ? [] : manifest.layers;
  try {
    return layer === undefined ? undefined : parseBundle(await registry.blob(layer.digest, 64 << 20));
  } catch (error) {
    if (error instanceof CairnError && error.code === 'malformed-document') return undefined;
    throw error;
  }
}
