// ledger: envelopes, leaves and checkpoints (the truth) and the index over them (disposable), in SQLite.
export { openLedger, type LedgerOptions, type OpenLedger } from './ledger.ts';
export { copyLedger, openReader, type LedgerReader, type StoredEnvelope, type StoredRelease, type StoredRevision } from './reads.ts';
export type { Proposal } from './fold-policy.ts';
