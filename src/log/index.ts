// log: a Merkle log in tiles, its checkpoints with the log's own time, entries in Rekor v2's form, and proofs over it.
export { formatCheckpoint, readCheckpoint, logIdOf, type Checkpoint, type FormerLogKey, type LogKeys, type LogVerifier } from './checkpoint.ts';
export { entryBody, hashedRekord, keyMark, leafHash } from './entry.ts';
export { readRekorRequest, type RekorEntry } from './rekor.ts';
export { exportLog, vkey } from './export.ts';
export { inclusionRoot, isConsistent, provenBeginning } from './proof.ts';
export { keyId, parseNote, type Note, algorithms, signatureLine } from './note.ts';
export { appendLeaves, consistencyProof, inclusionProof, MerkleTree, rootAt, type TileReader, type TileWrite } from './tree.ts';
export { cosign, cosignedAt, linesOf } from './cosignature.ts';
export { judgeEvidence, logNoteKeys, makeEvidence, misdeedError, mostEvidenceBytes, parseEvidence, type LogEvidence, type Misdeed } from './evidence.ts';
export { isSignedBy, parseTreeHead, type TreeHead } from './tree-head.ts';
export { formatVkey, noteKey, parseVkey, type NoteKey } from './vkey.ts';
export { entryBundle, parseTilePath, tilePath, tileWidth } from './tiles.ts';
export { formatProof, parseProof, type TlogProof } from './tlog-proof.ts';
export { signingConfig, trustedRoot } from './trusted-root.ts';
