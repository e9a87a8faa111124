// log: a Merkle log in tiles, its checkpoints with the log's own time, entries in Rekor v2's form, and proofs over it.
export { formatCheckpoint, readCheckpoint, logIdOf, type Checkpoint, type LogKeys, type LogVerifier } from './checkpoint.ts';
export { entryBody, hashedRekord, keyMark, leafHash } from './entry.ts';
export { readRekorRequest, type RekorEntry } from './rekor.ts';
export { exportLog, vkey } from './export.ts';
export { inclusionRoot, isConsistent } from './proof.ts';
export { keyId, parseNote, type Note } from './note.ts';
export { appendLeaves, consistencyProof, inclusionProof, MerkleTree, rootAt, type TileReader, type TileWrite } from './tree.ts';
export { entryBundle, tilePath } from './tiles.ts';
export { trustedRoot } from './trusted-root.ts';
