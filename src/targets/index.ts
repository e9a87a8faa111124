// targets: what makes a content run. Unpacking and composing its layers, and the process target. Imports core only.
export { composeContent } from './compose.ts';
export { removeFinished } from './finished-folder.ts';
export { releasePort, takePort } from './free-port.ts';
export type { Health } from './health.ts';
export { startInstance, type Exit, type Instance, type InstanceOptions } from './process.ts';
export { unpackLayer, type UnpackLimits } from './unpack.ts';
