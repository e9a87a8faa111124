// witness: vouching for what a log shows, on both ends: the witness (C2SP tlog-witness), and the log that asks its witnesses.
export { startWitnessing, type Witnessing, type WitnessView } from './witnessing.ts';
export { knownLogs, parseLogs, type KnownLogs } from './known-logs.ts';
export { ownKey, type WitnessKey } from './own-key.ts';
export { formatAddCheckpoint, parseAddCheckpoint, type AddCheckpoint } from './request.ts';
export { openSeen, type SeenTree, type SeenTrees } from './seen.ts';
export { serveWitness, type WitnessServer } from './serve.ts';
export { addCheckpoint, type Answer, type WitnessOptions } from './witness.ts';
