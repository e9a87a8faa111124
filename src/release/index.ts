// release: what a release is, where it runs, and how it gets there and back.
export { contentHash, configurationDigest, type Content } from './content.ts';
export { delivery, type Delivery } from './delivery.ts';
export {
  documentAnnotation, documentMediaType, makeRelease, parseReleaseDocument, releaseArtifactType, type ComponentDocument, type ReleaseBlobs, type ReleaseDocument, type ReleaseInput,
} from './document.ts';
export type { DeliveryOptions } from './engine.ts';
export { advance, states, type State } from './lifecycle.ts';
export { partsOf } from './facts.ts';
export { foreignSays, foreignTypes, isOfRelease, weighForeign, type ForeignReader } from './foreign.ts';
export { saysOf } from './says.ts';
export type { GlassBroken } from './governance.ts';
export type { Moved } from './moved.ts';
export { returns } from './plan.ts';
export type {
  BrokenGlass, Debt, Expectation, Gateway, Incident, JournalledSwitch, Launch, LaunchComponent, Ledger, Logged, Place, Prepared, Registry, Revision, RevokedKey, RevokedPackage, Secrets, SignedStatement, Stored, Switched, Timeline, Watched, Way, Witnesses,
} from './ports.ts';
export { isWeighed, weighable } from './evidence.ts';
export { componentsOf } from './facts.ts';
export type { Touched } from './touched.ts';
export type { Drill, PlannedReturn, RollbackPlan, RollbackRequest } from './rollback.ts';
