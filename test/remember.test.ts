import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { CairnError } from '#core';
import { homePaths } from '#home';
import { cosign, judgeEvidence, parseEvidence, parseNote, parseVkey } from '#log';
import { toyLog, toyWitness, type ToyLog } from '../src/witness/fixture.ts';
import { rememberCheckpoint, shownFrom, type ShownLog } from '../src/cli/remember.ts';

/** A machine that remembers, and what it keeps. */
async function machine(t: TestContext, log: ToyLog) {
  const root = await mkdtemp('/tmp/cairn-m-');
  t.after(() => rm(root, { recursive: true }));
  const home = { paths: homePaths(root) };
  await mkdir(home.paths.known, { recursive: true });
  const verifier = { origin: log.origin, log: log.keys.log.publicKey, time: log.keys.time.publicKey };
  const evidence = async () => {
    const folder = join(home.paths.known, 'evidence');
    const names = await readdir(folder).catch(() => []);
    return Promise.all(names.map(async (name) => parseEvidence(await readFile(join(folder, name)))));
  };
  const see = (of: ToyLog, size: number, time: number, shown: Partial<ShownLog> = {}) =>
    of.note(size, time).then((note) => rememberCheckpoint(home, { ...shownFrom(of.tiles, note), ...shown }, verifier, note, []));
  /** That it is refused for that reason, and that both checkpoints are kept. */
  const refused = async (work: Promise<unknown>, reason: string) => {
    const before = (await evidence()).length;
    const error = await work.then(() => assert.fail('it was believed'), (thrown: unknown) => thrown);
    assert.ok(error instanceof CairnError && error.code === 'verification-failed', String(error));
    assert.equal(error.context['reason'], reason);
    assert.equal((await evidence()).length, before + 1);
    const kept = parseEvidence(await readFile(String(error.context['evidence'])));
    return judgeEvidence(kept, log.verifier).map((one) => one.reason);
  };
  return { home, verifier, see, refused, remembered: () => readFile(join(home.paths.known, `${log.origin}.checkpoint`), 'utf8') };
}

async function history() {
  const log = await toyLog();
  await log.grow(40);
  const other = await log.fork(5);
  await other.grow(60, 'another');
  return { log, other };
}

test('a log that grows is followed', async (t) => {
  const { log } = await history();
  const { see, remembered } = await machine(t, log);
  for (const size of [1, 7, 7, 8, 40]) assert.equal((await see(log, size, 100 + size)).size, size);
  assert.equal(await remembered(), await log.note(40, 140));
});

test('two checkpoints of one size are refused as a fork, and both are kept', async (t) => {
  const { log, other } = await history();
  const { see, refused, remembered } = await machine(t, log);
  await see(log, 20, 100);
  assert.deepEqual(await refused(see(other, 20, 200), 'log-fork'), ['log-fork']);
  assert.equal(await remembered(), await log.note(20, 100), 'what was known is known on');
});

test('a rewritten past is refused, and the evidence proves it by the log\u2019s own tiles, at sizes that are powers of two and others', async (t) => {
  const { log, other } = await history();
  for (const size of [6, 8, 16, 20]) {
    const { see, refused } = await machine(t, log);
    await see(log, size, 100);
    assert.deepEqual(await refused(see(other, 50, 200), 'log-rewrite'), ['log-rewrite'], String(size));
  }
});

test('a log that will not show how its newer tree began is refused too, and the evidence does not claim what it cannot show', async (t) => {
  const { log, other } = await history();
  const { see, refused } = await machine(t, log);
  await see(log, 20, 100);
  const silent: Partial<ShownLog> = { tile: async () => undefined, consistency: async () => { throw new CairnError('not-found', 'no'); } };
  assert.deepEqual(await refused(see(other, 50, 200, silent), 'log-rewrite'), []);
});

test('a checkpoint that goes back, at a later time, is refused as a rewind, whatever tree it is of', async (t) => {
  const { log, other } = await history();
  for (const now of [log, other]) {
    const { see, refused } = await machine(t, log);
    await see(log, 20, 100);
    assert.deepEqual((await refused(see(now, 12, 101, { newest: () => now.note(12, 101) }), 'log-rewind')), ['log-rewind']);
  }
});

test('a log that grows while its time goes back is refused', async (t) => {
  const { log } = await history();
  const { see, refused } = await machine(t, log);
  await see(log, 20, 100);
  assert.deepEqual(await refused(see(log, 30, 99), 'log-rewind'), ['log-rewind']);
});

test('an older checkpoint that is still the beginning of what is known is taken for what it is, and nothing is forgotten', async (t) => {
  const { log } = await history();
  const { see, remembered } = await machine(t, log);
  await see(log, 20, 100);
  assert.equal((await see(log, 12, 90)).size, 20);
  assert.equal(await remembered(), await log.note(20, 100));
});

test('an older checkpoint of a log that has lost what came behind it is refused, and is no proof against the log', async (t) => {
  const { log } = await history();
  const cut = await log.fork(12);
  const { see, refused } = await machine(t, log);
  await see(log, 20, 100);
  assert.deepEqual(await refused(see(cut, 12, 90), 'log-stale'), []);
});

test('a log that does not answer for its proof is not called a liar', async (t) => {
  const { log } = await history();
  const { see } = await machine(t, log);
  await see(log, 20, 100);
  const away = { consistency: async () => { throw new CairnError('unreachable', 'away', { retryable: true }); } };
  await assert.rejects(see(log, 40, 200, away), { code: 'unreachable' });
});

test('the cosignatures of a witness that vouched for both are in the evidence against it', async (t) => {
  const { log, other } = await history();
  const { home, verifier } = await machine(t, log);
  const { key } = await toyWitness(t, []);
  const vouched = async (of: ToyLog, time: number) => {
    const note = await of.note(20, time);
    return note + cosign(key, parseNote(note).text, time);
  };
  const remember = async (of: ToyLog, note: string) => rememberCheckpoint(home, shownFrom(of.tiles, note), verifier, note, [parseVkey(key.vkey)]);
  await remember(log, await vouched(log, 100));
  const error = await remember(other, await vouched(other, 200)).then(() => assert.fail(), (thrown: unknown) => thrown as CairnError);
  const found = judgeEvidence(parseEvidence(await readFile(String(error.context['evidence']))), log.verifier);
  assert.deepEqual(found.map(({ signer, reason }) => [signer, reason]), [[log.origin, 'log-fork'], ['witness.example.com', 'witness-equivocation']]);
});
