// server: the control server's HTTP side: the registry at /v2/, the API at /api/v1/, and what both stand on.
export { apiClient, type ApiClient } from './client.ts';
export { embeddedRegistry } from './registry.ts';
export { startServer, type RunningServer, type ServerOptions } from './server.ts';
export type { Info, MovedAnswer, TimelineAnswer } from './contract.ts';
export { collector, type Collected, type Collector } from './collect.ts';
export { bundleIn, legacyIn, legacyTags, mayBeBundle, type Found } from './foreign-found.ts';
export { LogTrust, type LogTrustOptions, type NextLogKey } from './log-trust.ts';
export { collectGarbage, type GcAnswer, type GcItem, type GcOptions } from './gc.ts';
export type { PoliciesAnswer, SignedAnswer } from './policies.ts';
export { reads, type AboutAnswer, type ReadOptions } from './reads.ts';
export type { PlaceStatus, RunnerState, StatusAnswer } from './status.ts';
export { fileSecrets, type Sealer, type SecretStore } from './secrets.ts';
