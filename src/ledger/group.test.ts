import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { envelopeDigest, makeStatement, predicateTypes, signEnvelope, subjectOf, type Request } from '#attest';
import { digestOf, fixedClock, noFaults, sha256, type Digest, type Faults } from '#core';
import { openLedger, type OpenLedger } from '#ledger';
import { hashedRekord, isConsistent, readCheckpoint } from '#log';
import type { Expectation, SignedStatement } from '#release';
import { generateSigner, spkiOf } from '#sign';
import { verifyBundle } from '#verify';

const record = generateSigner('ecdsa');
const person = generateSigner('ecdsa');
const key = spkiOf(person.publicKey).toString('base64');
const keys = { origin: 'log.example.com', log: generateSigner('ed25519'), time: generateSigner('ed25519') };
const log = { origin: keys.origin, log: keys.log.publicKey, time: keys.time.publicKey };
const clock = fixedClock('2026-01-01T00:00:00Z');

const sign = (predicateType: string, name: string, predicate: unknown): SignedStatement => ({ envelope: signEnvelope(makeStatement({ predicateType, subject: [subjectOf('shop', digestOf(name))], predicate }), person), key });
const plain = (name: string) => sign(predicateTypes.notes, name, { since: null, commits: [] });
const asked = (environment: string, nonce: string) => {
  const predicate: Request = { action: 'promote', application: 'shop', environment, by: 'ada', nonce, head: null, configuration: {}, secrets: {}, restores: null, reason: null };
  return sign(predicateTypes.request, 'release', predicate);
};
/** Speaks of an operation that was never opened: folding it is an error. */
const impossible = (name: string) => sign(predicateTypes.outcome, name, { operation: `never ${name}`, application: 'shop', environment: 'staging', revision: 1, state: 'live', milliseconds: null, journal: null, detail: null });
const entry = (name: string) => ({ body: hashedRekord(sha256(name).toString('base64'), person.sign(Buffer.from(name)).toString('base64'), { publicKey: key }), key });

async function withLedger<T>(work: (open: (faults?: Faults) => Promise<OpenLedger>) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), 'cairn-group-'));
  const opened: OpenLedger[] = [];
  try {
    return await work(async (faults = noFaults) => {
      const ledger = await openLedger({ path: join(folder, 'ledger.sqlite'), keys, record, clock, faults });
      opened.push(ledger);
      return ledger;
    });
  } finally {
    for (const ledger of opened) await ledger.close().catch(() => {});
    await rm(folder, { recursive: true });
  }
}

/** Rebuilt to the same index, and every checkpoint of the past is the beginning of the newest. */
async function requireLegal(ledger: OpenLedger, notes: readonly string[]): Promise<void> {
  assert.equal((await ledger.rebuild()).same, true);
  const newest = await ledger.checkpoint();
  if (newest === undefined) return;
  const head = readCheckpoint(newest.note, log);
  for (const note of new Set(notes)) {
    const { size, root } = readCheckpoint(note, log);
    const proof = size < head.size ? await ledger.consistency(size, head.size) : [];
    assert.ok(isConsistent(size, root, head.size, head.root, proof.map((hash) => Buffer.from(hash, 'base64'))), `the ${size} entries of before are the first of ${head.size}`);
  }
}

type Step = { readonly kind: 'plain' | 'twice' | 'impossible' | 'mixed' | 'entry' } | { readonly kind: 'head'; readonly environment: string; readonly head: number } | { readonly kind: 'policy'; readonly known: boolean };

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.constantFrom<Step>({ kind: 'plain' }, { kind: 'twice' }, { kind: 'impossible' }, { kind: 'mixed' }, { kind: 'entry' }),
  fc.record({ kind: fc.constant('head' as const), environment: fc.constantFrom('staging', 'production'), head: fc.nat({ max: 4 }) }),
  fc.record({ kind: fc.constant('policy' as const), known: fc.boolean() }),
);

test('commits that come together in any order stay apart: what is refused leaves nothing, what is taken is whole, and the log folds again to the same', async () => {
  let run = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(fc.tuple(step, fc.boolean()), { minLength: 1, maxLength: 24 }), async (steps) =>
      withLedger(async (open) => {
        const ledger = await open();
        run++;
        const notes: string[] = [];
        ledger.onCheckpoint(({ note }) => notes.push(note));
        const heads: Record<string, number> = { staging: 0, production: 0 };
        const tried: Promise<{ step: Step; names: readonly Digest[]; digests: readonly Digest[]; taken: boolean }>[] = [];
        for (const [at, [one, wait]] of steps.entries()) {
          const name = `${run}/${at}`;
          if (one.kind === 'entry') {
            tried.push(ledger.log(entry(name)).then(() => ({ step: one, names: [], digests: [], taken: true })));
            continue;
          }
          const statements = {
            plain: () => [plain(name)], twice: () => [plain(name), plain(name)], impossible: () => [impossible(name)], mixed: () => [plain(name), plain(`${name}+`), impossible(name)],
            head: () => [asked((one as { environment: string }).environment, `nonce of ${name}`), plain(name)], policy: () => [plain(name)],
          }[one.kind]();
          const expect: Expectation | undefined = one.kind === 'head' ? { application: 'shop', environment: one.environment, head: one.head } : one.kind === 'policy' ? { policy: digestOf('no such policy') } : undefined;
          const digests = statements.map(({ envelope }) => envelopeDigest(envelope));
          tried.push(
            ledger.commit(statements, expect).then(
              (logged) => {
                for (const one of logged) assert.equal(verifyBundle(one.bundle, { log, keys: [key] }).envelope, one.digest);
                return { step: one, names: [digestOf(name)], digests, taken: true };
              },
              (error: { code: string }) => {
                assert.ok(['conflict', 'storage'].includes(error.code), String(error));
                return { step: one, names: [digestOf(name)], digests, taken: false };
              },
            ),
          );
          if (wait) await tried.at(-1);
        }
        for (const { step: one, digests, taken } of await Promise.all(tried)) {
          for (const digest of digests) assert.equal((await ledger.find(digest)) !== undefined, taken, `${one.kind}: all or nothing`);
          if (one.kind === 'impossible' || one.kind === 'mixed' || one.kind === 'policy') assert.equal(taken, false);
          if (one.kind === 'plain' || one.kind === 'twice') assert.equal(taken, true);
          if (one.kind === 'head' && taken) heads[one.environment] = Math.max(heads[one.environment] ?? 0, one.head + 1);
        }
        for (const environment of ['staging', 'production']) assert.equal((await ledger.timeline('shop', environment)).head, heads[environment]);
        await requireLegal(ledger, notes);
      }),
    ),
    { numRuns: 15, seed: 11 },
  );
});

test('calls that come together share one checkpoint and one ingest', async () => {
  await withLedger(async (open) => {
    const ledger = await open();
    await ledger.commit([plain('first')]);
    const sizes: number[] = [];
    ledger.onCheckpoint(({ size }) => sizes.push(size));
    await Promise.all(Array.from({ length: 50 }, (_, at) => ledger.commit([plain(`together ${at}`)])));
    assert.deepEqual(sizes, [2 + 50 + 1]);
  });
});

test('a policy that came into force meanwhile is a conflict, for that call alone', async () => {
  await withLedger(async (open) => {
    const ledger = await open();
    const results = await Promise.allSettled([ledger.commit([plain('one')], { policy: digestOf('another') }), ledger.commit([plain('two')])]);
    assert.deepEqual(results.map(({ status }) => status), ['rejected', 'fulfilled']);
    assert.equal((results[0] as PromiseRejectedResult).reason.code, 'conflict');
    assert.equal((await ledger.checkpoint())?.size, 2);
  });
});

test('whatever write fails, before it or after it was done, the log is legal, nobody was told of what is not there, and asking again mends it', async () => {
  // As many as one group of these calls makes; beyond the last, nothing fails.
  for (let at = 1, failed = true; failed; at++) {
    await withLedger(async (open) => {
      failed = false;
      let passed = -Infinity;
      const faults: Faults = {
        point: () => {
          if (++passed !== at) return;
          failed = true;
          throw new Error(`the power is cut at ${at}`);
        },
      };
      const ledger = await open(faults);
      await ledger.commit([plain('before')]);
      const notes = [(await ledger.checkpoint())?.note ?? ''];
      ledger.onCheckpoint(({ note }) => notes.push(note));
      passed = 0;
      const statements = [[plain('a')], [asked('staging', 'a nonce of ours'), plain('b')], [plain('c')]];
      const all = () => [...statements.map((one, index) => ledger.commit(one, index === 1 ? { application: 'shop', environment: 'staging', head: 0 } : undefined)), ledger.log(entry('e'))];
      const first = await Promise.allSettled(all());
      for (const [index, result] of first.entries()) if (result.status === 'fulfilled' && index < 3) for (const { digest } of (result as PromiseFulfilledResult<readonly { digest: Digest }[]>).value) assert.notEqual(await ledger.find(digest), undefined);
      passed = -Infinity;
      const again = await open();
      await requireLegal(again, notes);
      await Promise.all(all());
      assert.equal((await ledger.timeline('shop', 'staging')).head, 1);
      await requireLegal(ledger, notes);
    });
    assert.ok(at < 500);
  }
});
