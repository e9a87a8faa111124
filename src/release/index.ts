// release: what a release is, where it runs, and how it gets there and back.
export { contentHash, configurationDigest, type Content } from './content.ts';
export { delivery, type Delivery, type DeliveryOptions, type Moved } from './delivery.ts';
export { documentAnnotation, documentMediaType, makeRelease, parseReleaseDocument, releaseArtifactType, type ReleaseBlobs, type ReleaseDocument, type ReleaseInput } from './document.ts';
export { advance, states, type State } from './lifecycle.ts';
export type { Gateway, JournalledSwitch, Launch, Ledger, Logged, Place, Prepared, Registry, Revision, SignedStatement, Switched, Timeline } from './ports.ts';
export { returnTarget } from './plan.ts';
