import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { sha256 } from '#core';
import { appendLeaves, consistencyProof, inclusionProof, inclusionRoot, isConsistent, leafHash, rootAt, tilePath, type TileReader } from '#log';
import { nodeHash } from './proof.ts';

/** RFC 9162 section 2.1.1, as it is written there. */
function plainRoot(leaves: readonly Buffer[]): Buffer {
  if (leaves.length === 0) return sha256('');
  if (leaves.length === 1) return leaves[0] ?? Buffer.alloc(0);
  let k = 1;
  while (k * 2 < leaves.length) k *= 2;
  return nodeHash(plainRoot(leaves.slice(0, k)), plainRoot(leaves.slice(k)));
}

const leaf = (index: number) => leafHash(Buffer.from(`entry ${index}`));

async function grow(batches: readonly number[]): Promise<{ tiles: TileReader; leaves: Buffer[] }> {
  const stored = new Map<string, Buffer>();
  const tiles: TileReader = { tile: (level, index) => Promise.resolve(stored.get(`${level}/${index}`)) };
  const leaves: Buffer[] = [];
  for (const batch of batches) {
    const added = Array.from({ length: batch }, (_, at) => leaf(leaves.length + at));
    for (const write of await appendLeaves(tiles, leaves.length, added)) stored.set(`${write.level}/${write.index}`, write.hashes);
    leaves.push(...added);
  }
  return { tiles, leaves };
}

test('the root of the tiles is the root of the plain tree, however the leaves came in', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.integer({ min: 1, max: 300 }), { minLength: 1, maxLength: 5 }), async (batches) => {
      const { tiles, leaves } = await grow(batches);
      assert.deepEqual(await rootAt(tiles, leaves.length), plainRoot(leaves));
    }),
    { numRuns: 40, seed: 7 },
  );
});

test('every leaf proves into every size that covers it, and into no other root', async () => {
  const { tiles, leaves } = await grow([70]);
  for (let size = 1; size <= 70; size++) {
    const root = await rootAt(tiles, size);
    for (let index = 0; index < size; index += 3) {
      const proof = await inclusionProof(tiles, index, size);
      assert.deepEqual(inclusionRoot(leaf(index), index, size, proof), root);
      assert.notDeepEqual(inclusionRoot(leaf(index + 1), index, size, proof), root);
      assert.equal(inclusionRoot(leaf(index), index, size, [...proof, leaf(0)]), undefined);
    }
    assert.deepEqual(plainRoot(leaves.slice(0, size)), root);
  }
});

test('every size is consistent with every later one, and a rewritten past is not', async () => {
  const { tiles } = await grow([300, 260]);
  for (const [size1, size2] of [[1, 2], [1, 560], [255, 256], [256, 257], [257, 559], [300, 560], [512, 560], [559, 560]] as const) {
    const [root1, root2, proof] = [await rootAt(tiles, size1), await rootAt(tiles, size2), await consistencyProof(tiles, size1, size2)];
    assert.ok(isConsistent(size1, root1, size2, root2, proof), `${size1} to ${size2}`);
    assert.ok(!isConsistent(size1, leaf(9999), size2, root2, proof));
    assert.ok(!isConsistent(size1, root1, size2, leaf(9999), proof));
  }
});

test('tile paths are those of the specification', () => {
  assert.equal(tilePath(0, 1234067, 256), 'tile/0/x001/x234/067');
  assert.equal(tilePath('entries', 0, 3), 'tile/entries/000.p/3');
});
