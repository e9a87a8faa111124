import assert from 'node:assert/strict';
import { cp, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { fixedClock, noFaults } from '#core';
import { cosignedAt, formatCheckpoint, formatVkey, judgeEvidence, makeEvidence, noteKey, parseNote, parseVkey, signatureLine } from '#log';
import { generateSigner } from '#sign';
import { toyLog, toyWitness, type ToyWitness } from './fixture.ts';
import { knownLogs, parseLogs } from './known-logs.ts';
import { openFolder } from './folder.ts';
import { ownKey } from './own-key.ts';
import { formatAddCheckpoint } from './request.ts';
import { openSeen } from './seen.ts';
import { addCheckpoint } from './witness.ts';

const text = async (log: Awaited<ReturnType<typeof toyLog>>, size: number) => `${(await log.note(size, 1)).split('\n\n')[0]}\n`;
const cosigned = (witness: ToyWitness, note: string, lines: string) => cosignedAt(parseNote(note.slice(0, note.indexOf('\n\n') + 2) + lines), parseVkey(witness.key.vkey));

test('a checkpoint that continues the one before is cosigned, with the time of the witness', async (t) => {
  const log = await toyLog();
  await log.grow(700);
  const clock = fixedClock('2026-11-01T00:00:00Z');
  const witness = await toyWitness(t, [log], clock);
  let old = 0;
  for (const size of [1, 2, 3, 8, 255, 256, 257, 700]) {
    clock.advance(1000);
    const answer = await witness.ask(log, old, size);
    assert.equal(answer.status, 200, `${old} to ${size}: ${answer.body}`);
    assert.equal(cosigned(witness, await log.note(size, 1), answer.body), Math.floor(clock.now().getTime() / 1000));
    old = size;
  }
  assert.deepEqual(witness.seen.all().map(({ origin, size }) => ({ origin, size })), [{ origin: log.origin, size: 700 }]);
});

test('the same checkpoint again is cosigned again, and no earlier than before though the clock went back', async (t) => {
  const log = await toyLog();
  await log.grow(5);
  const clock = fixedClock('2026-11-01T00:00:00Z');
  const witness = await toyWitness(t, [log], clock);
  await witness.ask(log, 0, 5);
  const first = Math.floor(clock.now().getTime() / 1000);
  clock.advance(-3_600_000);
  const answer = await witness.ask(log, 5, 5);
  assert.equal(answer.status, 200);
  assert.equal(cosigned(witness, await log.note(5, 1), answer.body), first);
});

test('an old size that is not the one remembered is answered 409, with the one that is', async (t) => {
  const log = await toyLog();
  await log.grow(20);
  const witness = await toyWitness(t, [log]);
  assert.deepEqual(await witness.ask(log, 3, 5), { status: 409, type: 'text/x.tlog.size', body: '0\n' });
  await witness.ask(log, 0, 10);
  assert.deepEqual(await witness.ask(log, 0, 12), { status: 409, type: 'text/x.tlog.size', body: '10\n' });
});

test('a checkpoint that goes back is not cosigned', async (t) => {
  const log = await toyLog();
  await log.grow(20);
  const witness = await toyWitness(t, [log]);
  await witness.ask(log, 0, 10);
  assert.equal(witness.add(formatAddCheckpoint(10, [], await log.note(8, 1))).status, 400, 'an old size larger than the checkpoint');
  assert.deepEqual(await witness.ask(log, 8, 8), { status: 409, type: 'text/x.tlog.size', body: '10\n' });
  assert.equal(witness.seen.get(log.origin)?.size, 10);
});

test('of two checkpoints of one size only the first is cosigned, and both are kept', async (t) => {
  const log = await toyLog();
  await log.grow(9);
  const other = await log.fork(4);
  await other.grow(5, 'another');
  const witness = await toyWitness(t, [log]);
  await witness.ask(log, 0, 9);
  assert.deepEqual(await witness.ask(other, 9, 9), { status: 409, type: 'text/x.tlog.size', body: '9\n' });
  assert.equal(witness.misbehaved.length, 1);
  assert.equal(witness.misbehaved[0]?.before, await log.note(9, 1009));
  assert.equal(witness.misbehaved[0]?.now, await other.note(9, 1009));
});

test('a rewritten past is answered 422 and changes nothing', async (t) => {
  const log = await toyLog();
  await log.grow(9);
  const other = await log.fork(4);
  await other.grow(10, 'another');
  const witness = await toyWitness(t, [log]);
  await witness.ask(log, 0, 9);
  assert.equal((await witness.ask(other, 9, 14)).status, 422);
  assert.equal(witness.seen.get(log.origin)?.size, 9);
  await log.grow(5);
  assert.equal((await witness.ask(log, 9, 14)).status, 200, 'the true log goes on');
});

test('a log that proves by itself that its past is another is kept with that proof; a bad proof that anybody may send accuses nobody', async (t) => {
  const log = await toyLog();
  await log.grow(9);
  const other = await log.fork(4);
  await other.grow(10, 'another');
  const witness = await toyWitness(t, [log]);
  await witness.ask(log, 0, 9);
  const hash = Buffer.alloc(32, 1).toString('base64');
  await log.grow(5);
  for (const proof of [[], [hash], [...(await log.consistency(9, 14)), hash], (await log.consistency(9, 14)).toReversed(), await other.consistency(9, 14)]) {
    assert.equal(witness.add(formatAddCheckpoint(9, proof, await log.note(14, 2000))).status, 422);
  }
  assert.equal(witness.misbehaved.length, 0);
  assert.equal((await witness.ask(other, 9, 14, 2000)).status, 422);
  const [found] = witness.misbehaved;
  assert.ok(found !== undefined);
  const evidence = makeEvidence({ origin: log.origin, earlier: found.before, later: found.now, proof: found.proof, witnesses: [] });
  assert.deepEqual(judgeEvidence(evidence, log.verifier).map(({ reason }) => reason), ['log-rewrite']);
});

test('a proof where none belongs, none where one belongs, and an empty tree with a root of its own are answered 422', async (t) => {
  const log = await toyLog();
  await log.grow(9);
  const witness = await toyWitness(t, [log]);
  const hash = Buffer.alloc(32, 1).toString('base64');
  assert.equal(witness.add(formatAddCheckpoint(0, [hash], await log.note(9, 1))).status, 422);
  assert.equal(witness.add(formatAddCheckpoint(0, [], formatCheckpoint(log.keys, 0, Buffer.alloc(32, 1), 1))).status, 422);
  assert.equal((await witness.ask(log, 0, 4)).status, 200);
  assert.equal(witness.add(formatAddCheckpoint(4, [], await log.note(9, 1))).status, 422);
  assert.equal(witness.add(formatAddCheckpoint(4, [hash], await log.note(4, 1))).status, 422);
  assert.equal((await witness.ask(log, 4, 9)).status, 200);
});

test('an unknown log is answered 404, and a checkpoint that no trusted key signed 403', async (t) => {
  const log = await toyLog();
  await log.grow(9);
  const witness = await toyWitness(t, [log]);
  const stranger = await toyLog('stranger.example.com');
  await stranger.grow(3);
  assert.equal((await witness.ask(stranger, 0, 3)).status, 404);
  const imposter = await toyLog(log.origin);
  await imposter.grow(9);
  assert.equal((await witness.ask(imposter, 0, 9)).status, 403);
  const forged = (await log.note(9, 1)).replace(await text(log, 9), await text(log, 8));
  assert.equal(witness.add(formatAddCheckpoint(0, [], forged)).status, 403);
  assert.equal(witness.seen.all().length, 0);
});

test('signatures of others on a checkpoint are passed over, also under the name of the log', async (t) => {
  const log = await toyLog();
  await log.grow(9);
  const witness = await toyWitness(t, [log]);
  const note = `${await log.note(9, 1)}${signatureLine(log.origin, Buffer.from('01020304', 'hex'), Buffer.alloc(64))}`;
  assert.equal(witness.add(formatAddCheckpoint(0, [], note)).status, 200);
});

test('a request that is not one is answered 400', async (t) => {
  const log = await toyLog();
  await log.grow(9);
  const witness = await toyWitness(t, [log]);
  const note = await log.note(9, 1);
  const hash = Buffer.alloc(32, 1).toString('base64');
  const bodies = [
    '', 'old 0', note, `old 00\n\n${note}`, `old -1\n\n${note}`, `old 9007199254740993\n\n${note}`, `old  0\n\n${note}`, `Old 0\n\n${note}`, `old 0\r\n\r\n${note}`,
    `old 0\n${hash.slice(1)}\n\n${note}`, `old 0\n${hash} \n\n${note}`, `old 0\n${`${hash}\n`.repeat(64)}\n${note}`, `old 0\n\n${note.slice(0, -1)}`, `old 0\n\n${note.replace('\n9\n', '\n09\n')}`,
    `old 0\n\n${note.replace('log.example.com\n', 'log.example.com\u0000\n')}`,
  ];
  for (const body of bodies) assert.equal(witness.add(body).status, 400, JSON.stringify(body.slice(0, 60)));
  assert.equal(witness.add(Buffer.concat([Buffer.from('old 0\n\n'), Buffer.from([0xff]), Buffer.from(note)])).status, 400);
  assert.equal(witness.add(Buffer.alloc(200_000, 'a')).status, 400);
});

test('a witness that was started again on its folder remembers, and one on an old copy of it goes back no further than the copy', async (t) => {
  const log = await toyLog();
  await log.grow(30);
  const witness = await toyWitness(t, [log]);
  await witness.ask(log, 0, 10);
  const copy = await mkdtemp('/tmp/cairn-w-');
  for (const name of ['witness.key', 'seen.sqlite', 'seen.sqlite-wal']) await cp(join(witness.folder, name), join(copy, name));
  await witness.ask(log, 10, 20);
  const again = await toyWitness(t, [log], fixedClock('2026-11-02T00:00:00Z'), witness.folder);
  assert.equal(again.key.vkey, witness.key.vkey);
  assert.equal((await again.ask(log, 10, 20)).body, '20\n');

  const old = await toyWitness(t, [log], fixedClock('2026-11-02T00:00:00Z'), copy);
  const fork = await log.fork(5);
  await fork.grow(25, 'another');
  assert.equal((await old.ask(fork, 5, 12)).body, '10\n');
  assert.equal((await old.ask(fork, 10, 12)).status, 422, 'what contradicts the copy is refused');
  assert.equal((await old.ask(log, 10, 30)).status, 200, 'the true log catches it up');
});

test('a crash before the commit leaves what was there; one after it leaves the new tree, and the log gets its cosignature by asking again', async (t) => {
  const log = await toyLog();
  await log.grow(30);
  for (const [point, left] of [['witness write', 10], ['witness commit', 10], ['witness committed', 20], ['witness answer', 20]] as const) {
    const witness = await toyWitness(t, [log]);
    await witness.ask(log, 0, 10);
    // The process dies here: what is in memory is gone, and nobody was answered.
    const faults = { point: (name: string) => { if (name === point) throw new Error('killed'); } };
    const dying = openSeen(join(witness.folder, 'seen.sqlite'), faults);
    const body = Buffer.from(formatAddCheckpoint(10, await log.consistency(10, 20), await log.note(20, 1)));
    assert.throws(() => addCheckpoint({ ...witness.options, seen: dying, faults }, body));
    dying.close();
    const seen = openSeen(join(witness.folder, 'seen.sqlite'), noFaults);
    assert.equal(seen.get(log.origin)?.size, left, point);
    seen.close();
    const answer = await witness.ask(log, left, 20);
    assert.equal(answer.status, 200, point);
  }
});

test('two processes on one folder cosign one history', async (t) => {
  const log = await toyLog();
  await log.grow(10);
  const fork = await log.fork(4);
  await fork.grow(20, 'another');
  await log.grow(20);
  const witness = await toyWitness(t, [log]);
  await witness.ask(log, 0, 4);
  const second = openSeen(join(witness.folder, 'seen.sqlite'), noFaults);
  t.after(() => second.close());
  const ours = formatAddCheckpoint(4, await log.consistency(4, 12), await log.note(12, 1));
  const theirs = formatAddCheckpoint(4, await fork.consistency(4, 12), await fork.note(12, 1));
  assert.deepEqual([witness.add(ours).status, addCheckpoint({ ...witness.options, seen: second }, Buffer.from(theirs)).status], [200, 409]);
});

test('what a witness remembers cannot be read: it refuses to begin anew', async (t) => {
  const folder = await mkdtemp('/tmp/cairn-w-');
  t.after(() => rm(folder, { recursive: true }));
  await writeFile(join(folder, 'seen.sqlite'), 'not a database at all, but long enough to be looked at as if it were one of them');
  assert.throws(() => openSeen(join(folder, 'seen.sqlite'), noFaults), { code: 'storage' });
});

test('a witness whose memory is gone does not begin anew under its key', async (t) => {
  const folder = await mkdtemp('/tmp/cairn-w-');
  t.after(() => rm(folder, { recursive: true }));
  const open = () => openFolder(join(folder, 'w'), undefined, () => 'ab', noFaults);
  const { key, seen } = await open();
  seen.close();
  const again = await open();
  again.seen.close();
  assert.equal(again.key.vkey, key.vkey);
  for (const name of ['seen.sqlite', 'seen.sqlite-wal', 'seen.sqlite-shm']) await rm(join(folder, 'w', name), { force: true });
  await assert.rejects(open(), { code: 'storage', message: /does not know what it vouched for/ });
  await rm(join(folder, 'w/witness.key'));
  (await open()).seen.close();
});

test("a witness's key is made once, is for its owner alone, and keeps its name", async (t) => {
  const folder = await mkdtemp('/tmp/cairn-w-');
  t.after(() => rm(folder, { recursive: true }));
  const made = await ownKey(folder, undefined, () => '0123456789ab');
  assert.equal(made.name, 'witness-0123456789ab.cairn.internal');
  assert.equal((await stat(join(folder, 'witness.key'))).mode & 0o777, 0o600);
  assert.equal((await ownKey(folder, undefined, () => 'x')).vkey, made.vkey);
  await assert.rejects(ownKey(folder, 'other.example.com', () => 'x'), { code: 'conflict' });
  const line = await readFile(join(folder, 'witness.key'), 'utf8');
  await writeFile(join(folder, 'witness.key'), line.replace(/\+[0-9a-f]{8}\+/, '+00000000+'));
  await assert.rejects(ownKey(folder, undefined, () => 'x'), { code: 'malformed-document' });
  const fresh = await mkdtemp('/tmp/cairn-w-');
  t.after(() => rm(fresh, { recursive: true }));
  await assert.rejects(ownKey(fresh, 'a name', () => 'x'), { code: 'malformed-document' });
});

test('logs are read by line, several keys a log, and one key stands for one log', async (t) => {
  const vkey = async (name: string, key = generateSigner('ed25519')) => formatVkey(noteKey(name, 1, key.publicKey));
  const shared = generateSigner('ed25519');
  const [one, next] = [await vkey('a.example.com'), await vkey('a.example.com')];
  const logs = parseLogs(`# those of ours\n\nlog ${one} https://a.example.com\n  log\t${next}\nwitness w ${one}\nquorum none\n`, 'logs');
  assert.deepEqual([...logs].map(([origin, keys]) => [origin, keys.length]), [['a.example.com', 2]]);
  const twice = `log ${await vkey('a.example.com', shared)}\nlog ${await vkey('b.example.com', shared)}\n`;
  assert.throws(() => parseLogs(twice, 'logs'), { code: 'invalid-configuration' });
  for (const line of ['log', 'log x', `log ${one} a b`, `lug ${one}`, `log ${one.slice(0, -4)}AAA=`]) assert.throws(() => parseLogs(line, 'logs'), { code: 'invalid-configuration' }, line);
  const folder = await mkdtemp('/tmp/cairn-w-');
  t.after(() => rm(folder, { recursive: true }));
  await knownLogs(folder, [parseVkey(one)]);
  const other = await vkey('b.example.com');
  await knownLogs(folder, [parseVkey(other), parseVkey(one)]);
  assert.equal(await readFile(join(folder, 'logs'), 'utf8'), `log ${other}\nlog ${one}\n`);
  assert.deepEqual((await knownLogs(folder, [parseVkey(next)])).get('a.example.com')?.map(formatVkey), [next], 'a new key takes the place of the old one');
  assert.equal(await readFile(join(folder, 'logs'), 'utf8'), `log ${other}\nlog ${next}\n`);
  assert.equal((await knownLogs(folder, [])).size, 2);
});
