// attest: in-toto statements in DSSE envelopes, the predicates that Cairn writes, and Sigstore bundles around them.
export { bundleLimit, bundleManifest, bundleMediaType, logEntry, makeBundle, parseBundle, type Bundle, type LogEntry } from './bundle.ts';
export { envelopeDigest, pae, parseEnvelope, payloadOf, signEnvelope, verifyEnvelope, type Envelope } from './dsse.ts';
export { importReport } from './import-report.ts';
export { openScanner } from './scanner.ts';
export { largestReport, reportFormats, type ReportFormat } from './report.ts';
export { parsePredicate, predicateTypes, type Approval, type Facts, type Ingest, type Intent, type Outcome, type PredicateOf, type PredicateName, type Request, type RuleResult, type Verdict } from './predicates.ts';
export { provenance, type Provenance, type ProvenanceInput, type ResourceDescriptor } from './provenance.ts';
export { releaseNotes, type NotesInput } from './notes.ts';
export { billOfMaterials, type BillInput, type BillPackage } from './sbom.ts';
export { spki } from './spki.ts';
export { makeStatement, parseStatement, statementType, subjectDigests, subjectOf, type Statement, type Subject } from './statement.ts';
export { testResult, type TestResultInput } from './test-result.ts';
export { evidenceSetDigest, verificationSummary, type SummaryInput } from './summary.ts';
