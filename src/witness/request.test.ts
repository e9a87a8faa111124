import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { CairnError } from '#core';
import { toyLog } from './fixture.ts';
import { formatAddCheckpoint, parseAddCheckpoint } from './request.ts';

const log = await toyLog();
await log.grow(300);
const note = await log.note(300, 1000);

test('an add-checkpoint request comes back from its bytes', () => {
  fc.assert(fc.property(fc.nat(2 ** 40), fc.array(fc.uint8Array({ minLength: 32, maxLength: 32 }), { maxLength: 63 }), (old, hashes) => {
    const lines = hashes.map((hash) => Buffer.from(hash).toString('base64'));
    const parsed = parseAddCheckpoint(Buffer.from(formatAddCheckpoint(old, lines, note)));
    assert.deepEqual([parsed.oldSize, parsed.proof.map((hash) => hash.toString('base64')), parsed.checkpoint, parsed.head.size], [old, lines, note, 300]);
  }));
});

test('a body larger than any request is refused before it is looked at', () => {
  assert.throws(() => parseAddCheckpoint(Buffer.from(`old 0\n\n${note}`.padEnd(200_000, '\n'))), { code: 'malformed-document', message: /more than 98304 bytes/ });
});

test('whatever else is sent is refused as malformed, or read as exactly the bytes that were sent', async () => {
  const good = Buffer.from(formatAddCheckpoint(200, await log.consistency(200, 300), note));
  fc.assert(fc.property(fc.nat(good.byteLength - 1), fc.nat(good.byteLength - 1), fc.uint8Array({ maxLength: 4 }), (from, to, by) => {
    const changed = Buffer.concat([good.subarray(0, Math.min(from, to)), by, good.subarray(Math.max(from, to))]);
    try {
      const { oldSize, proof, checkpoint } = parseAddCheckpoint(changed);
      assert.equal(formatAddCheckpoint(oldSize, proof.map((hash) => hash.toString('base64')), checkpoint), changed.toString('utf8'));
    } catch (error) {
      assert.ok(error instanceof CairnError && error.code === 'malformed-document', String(error));
    }
  }), { numRuns: 500 });
});
