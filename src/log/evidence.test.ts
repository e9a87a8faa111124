import assert from 'node:assert/strict';
import { test } from 'node:test';
import { canonicalJson, sha256 } from '#core';
import { appendLeaves, consistencyProof, cosign, formatCheckpoint, formatVkey, judgeEvidence, makeEvidence, noteKey, parseEvidence, parseNote, rootAt, type LogEvidence, type TileReader } from '#log';
import { generateSigner } from '#sign';

const origin = 'log.example.com';
const keys = { origin, log: generateSigner('ed25519'), time: generateSigner('ed25519') };
const trusted = { origin, log: keys.log.publicKey, time: keys.time.publicKey };
const witness = { name: 'w.example.com', signer: generateSigner('ed25519') };
const vkey = formatVkey(noteKey(witness.name, 4, witness.signer.publicKey));

async function tree(...leaves: readonly string[]): Promise<TileReader> {
  const tiles = new Map<string, Buffer>();
  const reader: TileReader = { tile: async (level, index) => tiles.get(`${level}/${index}`) };
  for (const { level, index, hashes } of await appendLeaves(reader, 0, leaves.map((one) => sha256(one)))) tiles.set(`${level}/${index}`, hashes);
  return reader;
}
const named = (count: number, what: string) => Array.from({ length: count }, (_, at) => `${what} ${at}`);
const note = async (of: TileReader, size: number, time: number) => formatCheckpoint(keys, size, await rootAt(of, size), time);
const vouched = (text: string, time: number) => text + cosign(witness, parseNote(text).text, time);
const judged = (found: Partial<LogEvidence> & Pick<LogEvidence, 'earlier' | 'later'>) =>
  judgeEvidence(parseEvidence(canonicalJson(makeEvidence({ origin, proof: null, witnesses: [], ...found }))), trusted).map(({ signer, reason }) => `${signer} ${reason}`);

const ours = await tree(...named(20, 'a'));
const theirs = await tree(...named(5, 'a'), ...named(20, 'b'));
const proofOf = async (of: TileReader, small: number, large: number) => ({ root: (await rootAt(of, small)).toString('base64'), hashes: (await consistencyProof(of, small, large)).map((hash) => hash.toString('base64')) });

test('two checkpoints of one size with two roots prove a fork', async () => {
  assert.deepEqual(await judged({ earlier: await note(ours, 9, 100), later: await note(theirs, 9, 200) }), [`${origin} log-fork`]);
});

test('a rewritten past is proven by the root that the newer tree has at the older size, whether that is a power of two or not', async () => {
  for (const size of [6, 7, 8, 9, 16]) {
    const found = { earlier: await note(ours, size, 100), later: await note(theirs, 20, 200) };
    assert.deepEqual(judged({ ...found, proof: await proofOf(theirs, size, 20) }), [`${origin} log-rewrite`], String(size));
    assert.deepEqual(judged(found), [], 'without the proof it is our word');
  }
});

test('an honest log cannot be made to look bad: not by its own proof, nor by one of another tree, nor by another root', async () => {
  const found = { earlier: await note(ours, 9, 100), later: await note(ours, 20, 200) };
  assert.deepEqual(judged({ ...found, proof: await proofOf(ours, 9, 20) }), []);
  assert.deepEqual(judged({ ...found, proof: await proofOf(theirs, 9, 20) }), []);
  assert.deepEqual(judged({ ...found, proof: { ...(await proofOf(ours, 9, 20)), root: sha256('another').toString('base64') } }), []);
  const sixteen = { earlier: await note(ours, 16, 100), later: await note(ours, 20, 200) };
  assert.deepEqual(judged({ ...sixteen, proof: { ...(await proofOf(ours, 16, 20)), root: sha256('another').toString('base64') } }), []);
  assert.deepEqual(judged({ earlier: found.later, later: found.earlier }), [], 'the older one shown again later is no lie');
});

test('a smaller tree at a later time, by the log itself, proves a rewind; within one second nothing follows', async () => {
  assert.deepEqual(judged({ earlier: await note(ours, 9, 100), later: await note(ours, 8, 101) }), [`${origin} log-rewind`]);
  assert.deepEqual(judged({ earlier: await note(ours, 8, 101), later: await note(ours, 9, 100) }), [`${origin} log-rewind`], 'in whichever order they were seen');
  assert.deepEqual(judged({ earlier: await note(ours, 9, 100), later: await note(ours, 8, 100) }), []);
});

test('a witness that cosigned two trees of one size equivocates; one that cosigned one of them has done nothing', async () => {
  const [first, second] = [await note(ours, 9, 100), await note(theirs, 9, 200)];
  assert.deepEqual(judged({ earlier: vouched(first, 100), later: vouched(second, 200), witnesses: [vkey] }), [`${origin} log-fork`, 'w.example.com witness-equivocation']);
  assert.deepEqual(judged({ earlier: vouched(first, 100), later: second, witnesses: [vkey] }), [`${origin} log-fork`]);
});

test('a witness equivocates over two sizes as well, and is set back where its own times say so', async () => {
  const rewritten = { earlier: vouched(await note(ours, 9, 100), 100), later: vouched(await note(theirs, 20, 200), 200), proof: await proofOf(theirs, 9, 20), witnesses: [vkey] };
  assert.deepEqual(judged(rewritten), [`${origin} log-rewrite`, 'w.example.com witness-equivocation']);
  assert.deepEqual(judged({ earlier: vouched(await note(ours, 9, 100), 500), later: vouched(await note(ours, 8, 90), 600), witnesses: [vkey] }), ['w.example.com witness-rewind']);
});

test('what other keys than the trusted ones signed proves nothing', async () => {
  const found = makeEvidence({ origin, earlier: await note(ours, 9, 100), later: await note(theirs, 9, 200), proof: null, witnesses: [] });
  assert.deepEqual(judgeEvidence(found, { ...trusted, log: generateSigner('ed25519').publicKey }), []);
  assert.deepEqual(judgeEvidence(found, { ...trusted, time: generateSigner('ed25519').publicKey }), []);
  assert.deepEqual(judgeEvidence({ ...found, later: found.later.replace('\n9\n', '\n8\n') }, trusted), [], 'a note that was changed is signed by nobody');
  assert.throws(() => judgeEvidence(found, { ...trusted, origin: 'other.example.com' }), { code: 'verification-failed' });
});

test('whoever finds a key that the log had before cannot make the log look bad with it', async () => {
  const next = generateSigner('ed25519');
  const since = '2026-01-01T00:00:00Z';
  const rotated = { ...trusted, log: next.publicKey, former: [{ log: keys.log.publicKey, size: 10, since, until: since }] };
  const later = formatCheckpoint({ ...keys, log: next }, 20, await rootAt(ours, 20), 200);
  const stolen = makeEvidence({ origin, earlier: later, later: await note(theirs, 20, 300), proof: null, witnesses: [] });
  assert.deepEqual(judgeEvidence(stolen, rotated), [], 'it does not speak for that size');
  const own = makeEvidence({ origin, earlier: await note(ours, 9, 100), later, proof: await proofOf(ours, 9, 20), witnesses: [] });
  assert.deepEqual(judgeEvidence(own, rotated), []);
  const rewritten = formatCheckpoint({ ...keys, log: next }, 20, await rootAt(theirs, 20), 200);
  assert.deepEqual(judgeEvidence({ ...own, later: rewritten, proof: await proofOf(theirs, 9, 20) }, rotated).map(({ reason }) => reason), ['log-rewrite'], 'over a change of its key the log answers for both');
});

test('evidence that is malformed, of two logs, or with a key that is no witness is refused', async () => {
  const found = makeEvidence({ origin, earlier: await note(ours, 9, 100), later: await note(theirs, 9, 200), proof: null, witnesses: [] });
  const refused = { code: 'malformed-document' };
  assert.throws(() => judgeEvidence({ ...found, origin: 'other.example.com' }, { ...trusted, origin: 'other.example.com' }), refused);
  assert.throws(() => judgeEvidence({ ...found, witnesses: [formatVkey(noteKey(origin, 1, keys.log.publicKey))] }, trusted), refused);
  for (const value of [{ ...found, more: 1 }, { ...found, version: 2 }, { ...found, proof: { root: 'x', hashes: [] } }, { ...found, witnesses: Array.from({ length: 33 }, () => vkey) }]) {
    assert.throws(() => parseEvidence(canonicalJson(value)), refused);
  }
  assert.throws(() => parseEvidence(Buffer.from(JSON.stringify(found, null, 1))), refused, 'not canonical');
  assert.throws(() => parseEvidence(Buffer.alloc(300_000, ' ')), refused);
});
