// core: what every room needs and no room owns: digests, canonical JSON, time, errors, durable writes.
// It imports nothing of ours.
export { canonicalJson, parseCanonicalJson } from './canonical.ts';
export { fixedClock, type Clock } from './clock.ts';
export { digestOf, digestOfStream, isDigest, parseDigest, sha256, shortDigest, type Digest } from './digest.ts';
export { ensureDurableDirectory, exists, fsyncDirectory, writeFileDurable } from './durable.ts';
export { asCairnError, CairnError, errorCodes, exitCodeOf, type ErrorCode, type ErrorDetails } from './errors.ts';
export { noFaults, type Faults } from './faults.ts';
export { Mutex } from './mutex.ts';
export { hintFor, nearestName } from './nearest.ts';
export { problemsOf } from './problems.ts';
export { malformed, verificationFailed, type Reason } from './reasons.ts';
export { parseStrictJson } from './strict-json.ts';
