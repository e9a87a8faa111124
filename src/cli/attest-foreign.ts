import { readFile, stat } from 'node:fs/promises';
import { resolve as pathOf } from 'node:path';
import { asCairnError, CairnError, canonicalJson, type Digest } from '#core';
import { registryClient, type Descriptor, type RegistryClient } from '#oci';
import { parsePolicy } from '#policy';
import { foreignTypes, partsOf, type ReleaseDocument } from '#release';
import { bundleIn, legacyIn, legacyTags, mayBeBundle, type Found } from '#server';
import { claims, type ForeignForm } from '#verify';
import type { System } from './context.ts';
import { persist, type Session } from './session.ts';

/** Bytes of the largest bundle that is read from a file. */
const largestBundle = 24 << 20;
/** So many of what somebody else's registry lists are looked at, newest first: it may be anybody's, and list anything. */
const mostListed = 10_000;

export interface Brought {
  readonly logIndex: number;
  readonly statement: Digest;
}

/** A bundle in a file, such as `cosign attest-blob --bundle` or GitHub writes it. Who brings it vouches for nothing: the server holds it to the policy. */
export async function bringBundle(system: System, session: Session, application: string, release: Digest, file: string): Promise<Brought> {
  const text = await readBundle(system, file);
  const { digest, logIndex } = await persist(system, () => session.api.addForeign(application, release, { form: 'bundle', bundle: text })).catch((thrown: unknown) => {
    const error = asCairnError(thrown);
    throw error.fix !== undefined ? error : new CairnError(error.code, `${file}: ${error.message}`, { cause: error, context: error.context, retryable: error.retryable, fix: 'Only what a key or identity of the policy signed about this release counts: cairn policy check, cosign verify-blob-attestation' });
  });
  return { logIndex, statement: digest };
}

/** All that the server finds attached in its own registry; it goes on until it has looked at everything. */
export async function collectOwn(system: System, session: Session, application: string, release: Digest): Promise<{ logged: number[]; looked: number; others: number }> {
  const logged: number[] = [];
  let [looked, others] = [0, 0];
  for (;;) {
    const one = await persist(system, () => session.api.collect(application, release));
    logged.push(...one.logged);
    looked += one.looked;
    others += one.refused;
    if (one.remaining === 0 || one.looked === 0) return { logged, looked, others };
  }
}

/**
 * What another registry has beside the release and its parts: referrers, or the fallback tag where it lists none, and cosign's old tags.
 * @throws CairnError `not-found` where it answers and has nothing, `unreachable`, `throttled`
 */
export async function bringFrom(system: System, session: Session, application: string, release: Digest, document: ReleaseDocument, from: string): Promise<{ brought: Brought[]; looked: number; others: number }> {
  const registry = openRegistry(from);
  const policy = parsePolicy(canonicalJson(await session.api.policy()));
  const expected = { keys: policy.people.flatMap(({ keys }) => keys), identities: policy.people.flatMap(({ identities = [] }) => identities) };
  const brought: Brought[] = [];
  let [looked, others] = [0, 0];
  for (const part of partsOf(release, document)) {
    for await (const found of attached(registry, part)) {
      looked++;
      const said = await read(registry, found);
      if (said === undefined || !wanted(said, expected)) others++;
      else {
        const one = await persist(system, () => session.api.addForeign(application, release, said)).catch(refused);
        if (one === undefined) others++;
        else brought.push({ logIndex: one.logIndex, statement: one.digest });
      }
    }
  }
  if (looked === 0) throw new CairnError('not-found', `nothing is attached to the release at ${from}`, { fix: 'Look where it was signed: cosign tree, or oras discover' });
  return { brought, looked, others };
}

function openRegistry(from: string): RegistryClient {
  const parts = /^(?<scheme>https?:\/\/)?(?<host>[^/\s@]+)\/(?<repository>[^@\s]+)$/.exec(from)?.groups;
  const { scheme, host, repository } = { scheme: parts?.['scheme'], host: parts?.['host'], repository: parts?.['repository'] };
  if (host === undefined || repository === undefined) throw new CairnError('usage', `"${from}" is no repository of a registry`, { fix: 'Give REGISTRY/REPOSITORY, such as registry.example.com/team/shop' });
  // As the other tools do: plain only where the way leads nowhere else.
  const local = /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])(:\d+)?$/.test(host);
  return registryClient(`${scheme ?? (local ? 'http://' : 'https://')}${host}`, repository);
}

async function* attached(registry: RegistryClient, part: Digest): AsyncGenerator<Found> {
  const listed = (await registry.referrers(part)).filter(mayBeBundle).toSorted((a, b) => (created(a) < created(b) ? 1 : -1)).slice(0, mostListed);
  for (const { digest } of listed) {
    const manifest = await registry.manifest(digest).catch(worthless);
    const found = manifest === undefined ? undefined : attempt(() => bundleIn(manifest.bytes, manifest.mediaType, part));
    if (found !== undefined) yield found;
  }
  for (const tag of legacyTags(part)) {
    const manifest = await registry.manifest(tag).catch(worthless);
    if (manifest !== undefined) yield* attempt(() => legacyIn(manifest.bytes, manifest.mediaType).slice(0, mostListed)) ?? [];
  }
}

function created({ annotations }: Descriptor): string {
  return annotations?.['org.opencontainers.image.created'] ?? '';
}

async function read(registry: RegistryClient, found: Found): Promise<ForeignForm | undefined> {
  const bytes = await registry.blob(found.digest, found.limit).catch(worthless);
  return bytes === undefined ? undefined : attempt(() => found.form(bytes));
}

function wanted(said: ForeignForm, expected: Parameters<typeof claims>[1]): boolean {
  return attempt(() => claims(said, expected, foreignTypes)) ?? false;
}

/** What is missing or is not what its name says is one thing; that the registry does not answer is another, and is told. */
function worthless(thrown: unknown): undefined {
  const error = asCairnError(thrown);
  if (['not-found', 'malformed-document', 'digest-mismatch'].includes(error.code)) return undefined;
  throw error;
}

function refused(thrown: unknown): undefined {
  const error = asCairnError(thrown);
  if (['malformed-document', 'verification-failed'].includes(error.code)) return undefined;
  throw error;
}

function attempt<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch (thrown) {
    return refused(thrown);
  }
}

async function readBundle(system: System, file: string): Promise<string> {
  const path = pathOf(system.directory, file);
  try {
    const { size } = await stat(path);
    if (size > largestBundle) throw new CairnError('malformed-document', `${file} has ${size} bytes, more than the ${largestBundle} allowed`, { context: { reason: 'too-large' }, fix: 'Attest what is smaller, such as packages without their files' });
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(await readFile(path));
  } catch (cause) {
    if (cause instanceof CairnError) throw cause;
    if (cause instanceof TypeError) throw new CairnError('malformed-document', `${file} is not UTF-8`, { cause });
    throw new CairnError('not-found', `${file} cannot be read: ${(cause as Error).message}`, { cause, fix: 'Give the path of a Sigstore bundle' });
  }
}
