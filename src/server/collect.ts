import { join } from 'node:path';
import { makeStatement, parsePredicate, predicateTypes, signEnvelope, subjectOf } from '#attest';
import { asCairnError, CairnError, canonicalJson, digestOf, Mutex, verificationFailed, type Clock, type Digest } from '#core';
import type { LogVerifier } from '#log';
import type { ContentStore, Repositories } from '#oci';
import { holderOf, policyDigest, type Policy } from '#policy';
import { foreignSays, foreignTypes, type ForeignReader, type Ledger, type Logged, type SignedStatement } from '#release';
import { spkiOf, type Signer } from '#sign';
import { claims, foreignDigest, readForeign, type ForeignForm, type SigstoreRoot } from '#verify';
import { bundleIn, largestReferrer, legacyIn, legacyTags, type Found } from './foreign-found.ts';
import { openSeen, type Seen } from './seen.ts';

export interface CollectorOptions {
  readonly ledger: Ledger;
  readonly repositories: Repositories;
  readonly store: ContentStore;
  readonly record: Signer;
  /** As it is now: its key may rotate. */
  readonly log: () => LogVerifier;
  readonly roots: () => Promise<readonly SigstoreRoot[]>;
  readonly clock: Clock;
  /** Where what was refused is remembered. */
  readonly folder: string;
}

export interface Collected {
  /** Log entries of what was taken in. */
  readonly logged: readonly number[];
  /** How many were read this time, and how many of them count for nothing. */
  readonly looked: number;
  readonly refused: number;
  /** How many there was no time for: the next call goes on with them. */
  readonly remaining: number;
}

export interface Collector {
  /** Takes in what signers of the policy attached to these digests in our registry. Strangers' referrers cost one look each, ever; newest first. */
  collect(application: string, parts: ReadonlySet<Digest>, budgetMs?: number): Promise<Collected>;
  /** Takes in one. @throws CairnError `verification-failed`, `malformed-document`, with `context.reason` */
  add(application: string, parts: ReadonlySet<Digest>, said: ForeignForm): Promise<Logged>;
  reader(policy: Policy): Promise<ForeignReader>;
}

const usualBudgetMs = 20_000;
/** So many are looked at however little time there is: every look gets on. */
const leastLooked = 256;
/** So many newcomers of one subject are held in memory at once; a look at more of them takes further calls. */
const mostAtOnce = 250_000;
/** Manifests that are read at once. */
const together = 64;
const mostWorthless = 100_000;
/** How often progress is kept. */
const batch = 512;

export function collector(options: CollectorOptions): Collector {
  const { ledger, repositories, store, record, clock } = options;
  // Two looks at one subject would both take in what they find.
  const mutex = new Mutex();

  async function reader(policy: Policy): Promise<ForeignReader> {
    const roots = await options.roots();
    const keys = policy.people.flatMap((one) => one.keys);
    return (said) => readForeign(said, { roots, keys, ours: options.log() });
  }

  /** @throws CairnError where it does not hold, or its signer is nobody of the policy */
  function judge(said: ForeignForm, about: Digest, policy: Policy, read: ForeignReader): void {
    const { signer, statement } = read(said);
    if (holderOf(policy, signer) === undefined) throw verificationFailed(signer.kind === 'key' ? 'unknown-key' : 'identity-mismatch', `it is signed by ${signer.kind === 'key' ? 'a key' : signer.subject} that the policy does not know`);
    if (!statement.subject.some((one) => `sha256:${one.digest.sha256}` === about)) throw verificationFailed('subject-mismatch', `it is about something else than ${about}`);
    foreignSays(statement);
  }

  function statementOf(application: string, about: Digest, said: ForeignForm): SignedStatement {
    const statement = { predicateType: predicateTypes.foreign, subject: [subjectOf(application, about)], predicate: said };
    return { envelope: signEnvelope(makeStatement(statement), record), key: spkiOf(record.publicKey).toString('base64') };
  }

  /** Signatures about a digest that the log holds already: our own, and those that were taken in. */
  async function known(about: Digest): Promise<Map<Digest, Logged>> {
    const found = new Map<Digest, Logged>();
    for (const type of foreignTypes) for (const one of await ledger.about(about, type)) found.set(digestOf(Buffer.from(one.envelope.signatures[0].sig, 'base64')), one);
    for (const one of await ledger.about(about, predicateTypes.foreign)) found.set(foreignDigest(parsePredicate('foreign', one.statement)), one);
    return found;
  }

  async function collectOne(application: string, about: Digest, policy: Policy, read: ForeignReader, footing: Digest, until: number): Promise<Collected> {
    const seen = await openSeen(join(options.folder, application), about, footing);
    const expected = { keys: policy.people.flatMap((one) => one.keys), identities: policy.people.flatMap((one) => one.identities ?? []) };
    const held = new Set((await known(about)).keys());
    const taken: SignedStatement[] = [];
    let done: string[] = [];
    let [looked, refused, remaining] = [0, 0, 0];

    /** @returns whether it counts */
    async function look(found: Found): Promise<boolean> {
      const said = found.form(await store.read(found.digest, found.limit));
      if (!claims(said, expected, foreignTypes)) return false;
      const id = foreignDigest(said);
      if (held.has(id)) return true;
      judge(said, about, policy, read);
      taken.push(statementOf(application, about, said));
      // The same signature in another wrapping is none of its own.
      held.add(id);
      return true;
    }

    const late = () => looked >= leastLooked && clock.elapsed() > until;

    // Whoever floods us does so with a few texts under many names: each is read once.
    const worthless = new Set<string>();
    const attempt = async (found: Found): Promise<void> => {
      const name = `${found.digest} ${found.signature}`;
      if (worthless.has(name) || !(await look(found).catch((error: unknown) => notWorth(error)))) {
        refused++;
        if (worthless.size < mostWorthless) worthless.add(name);
      }
    };

    const step = async (mark: string, work: () => Promise<void>): Promise<void> => {
      looked++;
      await work();
      done.push(mark);
      if (done.length >= batch && taken.length === 0) done = (await seen.add(done), []);
    };

    for (const tag of legacyTags(about)) {
      const manifest = await repositories.getManifest(application, tag).catch(absent);
      if (manifest === undefined || seen.has(manifest.digest)) continue;
      const layers = await Promise.resolve().then(() => legacyIn(manifest.bytes, manifest.mediaType)).catch((error: unknown) => (notWorth(error), []));
      let left = 0;
      for (const found of layers) {
        const mark = digestOf(canonicalJson([found.digest, found.signature]));
        if (seen.has(mark)) continue;
        if (late()) left++;
        else await step(mark, () => attempt(found));
      }
      remaining += left;
      if (left === 0) done.push(manifest.digest);
    }

    const fresh = await newcomers(application, about, seen);
    for (let at = 0; at < fresh.length; at += together) {
      if (late()) {
        remaining += fresh.length - at;
        break;
      }
      const read = await Promise.all(fresh.slice(at, at + together).map(async (digest) => ({ digest, found: await referrer(application, digest, about) })));
      for (const { digest, found } of read) {
        await step(digest, async () => {
          if (found === undefined) refused++;
          else await attempt(found);
        });
      }
    }
    const logged = taken.length === 0 ? [] : await ledger.commit(taken);
    // Only what the log has, or what counts for nothing, needs no other look.
    await seen.add(done);
    return { logged: logged.map(({ logIndex }) => logIndex), looked, refused, remaining };
  }

  async function referrer(application: string, digest: Digest, about: Digest): Promise<Found | undefined> {
    try {
      const { bytes, mediaType } = await repositories.getManifest(application, digest);
      return bytes.byteLength > largestReferrer ? undefined : bundleIn(bytes, mediaType, about);
    } catch (error) {
      notWorth(error);
      return undefined;
    }
  }

  /** Those that nobody looked at yet, newest first: who attaches evidence now waits for it, and a flood from before does not stand in its way. */
  async function newcomers(application: string, about: Digest, seen: Seen): Promise<Digest[]> {
    let fresh: { digest: Digest; at: number }[] = [];
    const newest = () => fresh.toSorted((a, b) => b.at - a.at || (a.digest < b.digest ? -1 : 1)).slice(0, mostAtOnce);
    for await (const one of repositories.arrivals(application, about, seen.has)) {
      fresh.push(one);
      if (fresh.length >= 2 * mostAtOnce) fresh = newest();
    }
    return newest().map(({ digest }) => digest);
  }

  return {
    reader,

    collect: (application, parts, budgetMs = usualBudgetMs) =>
      mutex.run(async () => {
        const policy = await ledger.policy();
        const read = await reader(policy);
        const footing = digestOf(canonicalJson([policyDigest(policy), ...(await options.roots()).map((one) => one.digest)]));
        const until = clock.elapsed() + budgetMs;
        const all: Collected[] = [];
        for (const part of parts) all.push(await collectOne(application, part, policy, read, footing, until));
        const sum = (of: (one: Collected) => number) => all.reduce((total, one) => total + of(one), 0);
        return { logged: all.flatMap(({ logged }) => logged), looked: sum((one) => one.looked), refused: sum((one) => one.refused), remaining: sum((one) => one.remaining) };
      }),

    add: (application, parts, said) =>
      mutex.run(async () => {
        const policy = await ledger.policy();
        const read = await reader(policy);
        const { statement } = read(said);
        const about = [...parts].find((part) => statement.subject.some((one) => `sha256:${one.digest.sha256}` === part));
        if (about === undefined) throw verificationFailed('subject-mismatch', 'it is about no part of the release');
        judge(said, about, policy, read);
        const there = (await known(about)).get(foreignDigest(said));
        if (there !== undefined) return there;
        const [logged] = await ledger.commit([statementOf(application, about, said)]);
        if (logged === undefined) throw new CairnError('storage', 'the statement was not logged');
        return logged;
      }),
  };
}

/** What strangers attached may be anything: that it is not what it should be costs them, not us. A disk that fails is another matter. */
function notWorth(thrown: unknown): false {
  const error = asCairnError(thrown);
  if (['verification-failed', 'malformed-document', 'not-found', 'digest-mismatch', 'invalid-digest'].includes(error.code)) return false;
  throw error;
}

function absent(thrown: unknown): undefined {
  const error = asCairnError(thrown);
  if (error.code === 'not-found' || error.code === 'digest-mismatch') return undefined;
  throw error;
}
