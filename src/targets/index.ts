// targets: what makes a content run. Unpacking and composing its layers, processes that stay and commands that end, their logs.
// Imports core and isolation.
export { composeContent } from './compose.ts';
export { removeFinished, removeLeftovers } from './finished-folder.ts';
export { releasePort, takePort } from './free-port.ts';
export type { Health } from './health.ts';
export type { LogLimits } from './log-file.ts';
export type { Place } from './log-lines.ts';
export { startInstance, type Instance, type InstanceOptions } from './process.ts';
export type { Exit, Program } from './program.ts';
export { readLogs, type LogLine, type ReadOptions } from './read-logs.ts';
export { runOnce, type RunOptions, type RunResult } from './run-once.ts';
export type { Runtime } from './runtime-digest.ts';
export { unpackLayer, type UnpackLimits } from './unpack.ts';
