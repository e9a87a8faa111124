// witness: vouching for what a log shows, on both ends: the witness (C2SP tlog-witness), and the log that asks its witnesses.
export { startWitnessing, type Witnessing, type WitnessView } from './witnessing.ts';
export { knownLogs } from './known-logs.ts';
export { ownKey } from './own-key.ts';
export { parseAddCheckpoint } from './request.ts';
export { openFolder } from './folder.ts';
export { serveWitness } from './serve.ts';
export { addCheckpoint, type WitnessOptions } from './witness.ts';
