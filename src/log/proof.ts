import { sha256 } from '#core';

// RFC 9162 section 2.1.3.2 and 2.1.4.2, over 32-byte hashes. Indexes stay below 2^53, so bit shifts are divisions.

const nodePrefix = Buffer.from([1]);

export function nodeHash(left: Uint8Array, right: Uint8Array): Buffer {
  return sha256(Buffer.concat([nodePrefix, left, right]));
}

/** The root that an inclusion proof leads to, or undefined where the proof has not the one length it must have. */
export function inclusionRoot(leaf: Uint8Array, index: number, size: number, proof: readonly Uint8Array[]): Buffer | undefined {
  if (!Number.isSafeInteger(index) || !Number.isSafeInteger(size) || index < 0 || index >= size) return undefined;
  if (leaf.byteLength !== 32 || proof.some((hash) => hash.byteLength !== 32)) return undefined;
  let node = index;
  let last = size - 1;
  let hash: Buffer = Buffer.from(leaf);
  for (const sibling of proof) {
    if (last === 0) return undefined;
    if (node % 2 === 1 || node === last) {
      hash = nodeHash(sibling, hash);
      while (node % 2 === 0 && node !== 0) [node, last] = [node / 2, Math.floor(last / 2)];
    } else {
      hash = nodeHash(hash, sibling);
    }
    [node, last] = [Math.floor(node / 2), Math.floor(last / 2)];
  }
  return last === 0 ? hash : undefined;
}

/** True where the tree of `size2` with `root2` begins with the tree of `size1` with `root1`: nothing was rewritten between. */
export function isConsistent(size1: number, root1: Uint8Array, size2: number, root2: Uint8Array, proof: readonly Uint8Array[]): boolean {
  if (!Number.isSafeInteger(size1) || !Number.isSafeInteger(size2) || size1 < 1 || size1 > size2) return false;
  if (proof.some((hash) => hash.byteLength !== 32)) return false;
  if (size1 === size2) return proof.length === 0 && Buffer.from(root1).equals(Buffer.from(root2));
  if (proof.length === 0) return false;
  const roots = rootsOf(size1, size2, Number.isInteger(Math.log2(size1)) ? [root1, ...proof] : proof);
  return roots !== undefined && roots[0].equals(Buffer.from(root1)) && roots[1].equals(Buffer.from(root2));
}

/**
 * The root that the tree of `size2` with `root2` has at `size1`, where the proof shows it by itself: whoever made it had that tree. Undefined where it leads elsewhere, and where `size1` is a
 * power of two: such a proof begins with a root that it is told.
 */
export function provenBeginning(size1: number, size2: number, root2: Uint8Array, proof: readonly Uint8Array[]): Buffer | undefined {
  if (!Number.isSafeInteger(size1) || !Number.isSafeInteger(size2) || size1 < 1 || size1 >= size2 || Number.isInteger(Math.log2(size1))) return undefined;
  if (proof.some((hash) => hash.byteLength !== 32)) return undefined;
  const roots = rootsOf(size1, size2, proof);
  return roots?.[1].equals(Buffer.from(root2)) === true ? roots[0] : undefined;
}

/** Where the path leads in both trees; undefined where it has not the one length it must have. */
function rootsOf(size1: number, size2: number, [first, ...path]: readonly Uint8Array[]): [Buffer, Buffer] | undefined {
  if (first === undefined) return undefined;
  let node = size1 - 1;
  let last = size2 - 1;
  while (node % 2 === 1) [node, last] = [Math.floor(node / 2), Math.floor(last / 2)];
  let [hash1, hash2]: [Buffer, Buffer] = [Buffer.from(first), Buffer.from(first)];
  for (const sibling of path) {
    if (last === 0) return undefined;
    if (node % 2 === 1 || node === last) {
      hash1 = nodeHash(sibling, hash1);
      hash2 = nodeHash(sibling, hash2);
      while (node % 2 === 0 && node !== 0) [node, last] = [node / 2, Math.floor(last / 2)];
    } else {
      hash2 = nodeHash(hash2, sibling);
    }
    [node, last] = [Math.floor(node / 2), Math.floor(last / 2)];
  }
  return last === 0 ? [hash1, hash2] : undefined;
}
