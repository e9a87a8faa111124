import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { makeStatement, signEnvelope, subjectOf } from '#attest';
import { CairnError, digestOf, type ErrorCode } from '#core';
import { generateSigner, spkiOf } from '#sign';
import { enqueue, sendWaiting, waiting, type Queued } from './outbox.ts';

const signer = generateSigner('ecdsa');
const key = spkiOf(signer.publicKey).toString('base64');
const make = (text: string) => ({ application: 'shop', envelope: signEnvelope(makeStatement({ predicateType: 'x', subject: [subjectOf('shop', digestOf(text))], predicate: { text } }), signer), key });

async function box(t: TestContext): Promise<{ outbox: string }> {
  const folder = await mkdtemp('/tmp/cairn-o-');
  t.after(() => rm(folder, { recursive: true }));
  return { outbox: join(folder, 'outbox') };
}

test('what waits is sent oldest first, as it was signed, and then gone', async (t) => {
  const paths = await box(t);
  assert.deepEqual(await waiting(paths), []);
  const all = ['a', 'b', 'c'].map(make);
  for (const [at, one] of all.entries()) await enqueue(paths, new Date(1000 * (5 - at)), one);
  const sent: Queued[] = [];
  assert.deepEqual(await sendWaiting(paths, async (one) => void sent.push(one)), { sent: 3, left: 0, because: undefined, refused: [] });
  assert.deepEqual(sent.map(({ envelope }) => envelope), all.toReversed().map(({ envelope }) => envelope));
  assert.deepEqual(await readdir(paths.outbox), []);
});

test('an outage at any statement leaves it and all behind it for the next time', async (t) => {
  for (const code of ['unreachable', 'storage', 'storage-full', 'throttled'] satisfies ErrorCode[]) {
    const paths = await box(t);
    for (const [at, text] of ['a', 'b', 'c'].entries()) await enqueue(paths, new Date(at * 1000), make(text));
    let calls = 0;
    const first = await sendWaiting(paths, async () => {
      calls++;
      if (calls === 2) throw new CairnError(code, 'away');
    });
    assert.deepEqual([first.sent, first.left, first.because?.code, first.refused.length], [1, 2, code, 0]);
    assert.equal((await waiting(paths)).length, 2);
    assert.equal((await sendWaiting(paths, async () => {})).sent, 2);
  }
});

test('what is refused for good, or is damaged, is kept under another name and does not stand in the way', async (t) => {
  const paths = await box(t);
  await enqueue(paths, new Date(1000), make('a'));
  await enqueue(paths, new Date(2000), make('b'));
  await writeFile(join(paths.outbox, '19700101T000000.000Z-damaged.json'), '{"application":');
  let sent = 0;
  const { refused, left } = await sendWaiting(paths, async () => {
    sent++;
    if (sent === 1) throw new CairnError('unauthorized', 'an unknown key');
  });
  assert.deepEqual([left, refused.map(({ error }) => error.code)], [0, ['malformed-document', 'unauthorized']]);
  const names = await readdir(paths.outbox);
  assert.equal(names.filter((name) => name.endsWith('.refused')).length, 2);
  assert.ok((await readFile(join(paths.outbox, names.find((name) => !name.includes('damaged')) ?? ''), 'utf8')).includes(make('a').envelope.payload));
});
