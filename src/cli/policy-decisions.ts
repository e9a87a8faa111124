import type { KeyObject } from 'node:crypto';
import { parseEnvelope, parsePredicate, payloadOf, predicateTypes, subjectDigests, verifyEnvelope, type PredicateOf, type Statement } from '#attest';
import { CairnError, asCairnError, isDigest, type Digest } from '#core';
import type { LedgerReader, StoredEnvelope } from '#ledger';
import { readCheckpoint, type LogVerifier } from '#log';
import type { EvidenceStatement, PolicyVersion } from '#policy';
import { isOfRelease, isWeighed, weighable, weighForeign, type ForeignReader } from '#release';
import { readForeign, type SigstoreRoot, type Trust } from '#verify';
import type { Finding } from './audit-log.ts';
import { auditSigners } from './audit-signers.ts';
import { weighedOf } from './capsule-decide.ts';
import type { Candidate } from './capsule-evidence.ts';
import { publicKey } from './public-key.ts';

type Verdict = PredicateOf<'verdict'>;
type Said = Verdict['https://cairn.internal/verdict/v1'];

/** A decision of the past, with all that it was made of. */
export interface PastDecision {
  readonly envelope: Digest;
  readonly logIndex: number;
  readonly passed: boolean;
  readonly said: Said & { readonly by: string; readonly facts: NonNullable<Said['facts']> };
  /** Digest of the policy that it was decided by. */
  readonly policy: Digest;
  /** Seconds since 1970. */
  readonly time: number;
  readonly statements: readonly EvidenceStatement[];
}

export interface Past {
  readonly policies: readonly PolicyVersion[];
  readonly decisions: readonly PastDecision[];
  /** Decisions that cannot be made again, and why. */
  readonly lost: readonly { readonly envelope: Digest; readonly logIndex: number; readonly why: string }[];
}

const page = 2000;

interface Kept {
  readonly envelope: Digest;
  readonly logIndex: number;
  readonly key: string;
  readonly time: number;
  readonly statement: Statement;
  /** What a gate makes of it; for what another tool signed, by the policy under which it was read. */
  readonly evidence: Map<string, EvidenceStatement | undefined>;
}

/**
 * Reads every decision since a time from the ledger as it rests, each with the statements of its own time. The ledger is read once, each
 * signature verified once; that the log holds nothing else is for cairn audit to find.
 */
export async function readPast(reader: LedgerReader, log: LogVerifier, { genesis, trust, roots }: { genesis: Trust; trust: Trust; roots: readonly SigstoreRoot[] }, since: number): Promise<Past> {
  const read = await readStatements(reader, log);
  const findings: Finding[] = [];
  const { policies } = auditSigners(read.filter(({ statement }) => chainTypes.has(statement.predicateType)), genesis, trust, (finding) => findings.push(finding));
  const [first] = findings;
  if (policies.length === 0 && first !== undefined) throw new CairnError('verification-failed', first.what, { fix: 'cairn audit', context: { reason: first.reason ?? 'genesis-policy' } });
  const versions: Versions = { versions: new Map(policies.map((version) => [version.digest, version])), read: ({ policy }) => (said) => readForeign(said, { roots, keys: policy.people.flatMap(({ keys }) => keys), ours: log }) };
  const about = new Map<Digest, Kept[]>();
  for (const one of read) {
    if (one.statement.predicateType === predicateTypes.verdict) continue;
    for (const subject of new Set(subjectDigests(one.statement))) {
      const known = about.get(subject);
      if (known === undefined) about.set(subject, [one]);
      else known.push(one);
    }
  }
  const decisions: PastDecision[] = [];
  const lost: { envelope: Digest; logIndex: number; why: string }[] = [];
  for (const one of read) {
    if (one.statement.predicateType !== predicateTypes.verdict) continue;
    const { envelope, logIndex } = one;
    try {
      const past = pastOf(one, about, versions);
      if (past.time >= since) decisions.push(past);
    } catch (error) {
      const { code, message } = asCairnError(error);
      if (code === 'internal') throw error;
      if (one.time >= since) lost.push({ envelope, logIndex, why: message });
    }
  }
  return { policies, decisions, lost };
}

const chainTypes: ReadonlySet<string> = new Set([predicateTypes.policy, predicateTypes.keyRevocation]);
/** What neither decides nor is weighed. */
const idle: ReadonlySet<string> = new Set([predicateTypes.request, predicateTypes.intent, predicateTypes.outcome, predicateTypes.ingest, predicateTypes.notes, predicateTypes.drill, predicateTypes.incident, predicateTypes.trust]);

async function readStatements(reader: LedgerReader, log: LogVerifier): Promise<Kept[]> {
  const checkpoints = (await reader.checkpoints()).toSorted((a, b) => a.size - b.size);
  const keys = new Map<string, KeyObject>();
  const kept: Kept[] = [];
  let [at, time] = [0, -1];
  for (let next = 0; ; ) {
    const rows = await reader.envelopes(next, page);
    for (const row of rows) {
      const before = at;
      while ((checkpoints[at]?.size ?? Number.MAX_SAFE_INTEGER) <= row.logIndex) at++;
      if (idle.has(sniff(row))) continue;
      if (at !== before || time < 0) time = readCheckpoint(checkpoints[at]?.note ?? '', log).time;
      kept.push(readRow(row, time, keys));
    }
    const last = rows.at(-1);
    if (last === undefined || rows.length < page) return kept;
    next = last.logIndex + 1;
  }
}

/** Without checking anything: whether a row is of any use here. In canonical JSON the type stands behind the predicate, and behind it only names and digests. */
function sniff({ body, logIndex }: StoredEnvelope): string {
  try {
    const payload = Buffer.from((JSON.parse(body) as { payload: string }).payload, 'base64').toString('utf8');
    const at = payload.lastIndexOf(typeKey) + typeKey.length;
    return payload.slice(at, payload.indexOf('"', at));
  } catch (cause) {
    throw new CairnError('storage', `log entry ${logIndex}: the envelope is damaged`, { cause, fix: 'cairn audit' });
  }
}

const typeKey = '"predicateType":"';

function readRow({ body, digest, key, logIndex }: StoredEnvelope, time: number, keys: Map<string, KeyObject>): Kept {
  const envelope = parseEnvelope(JSON.parse(body));
  const known = keys.get(key) ?? publicKey(key);
  keys.set(key, known);
  if (!isDigest(digest) || !verifyEnvelope(envelope, known)) throw new CairnError('storage', `log entry ${logIndex}: the signature does not belong to the statement`, { fix: 'cairn audit' });
  return { envelope: digest, logIndex, key, time, statement: signedText(payloadOf(envelope)), evidence: new Map() };
}

/** What was signed was read strictly before it was logged, and another text would not have this signature: it is not read strictly twice. */
function signedText(payload: Buffer): Statement {
  const { subject, predicateType, predicate } = JSON.parse(payload.toString('utf8')) as Statement;
  return { subject, predicateType, predicate };
}

interface Versions {
  readonly versions: ReadonlyMap<Digest, PolicyVersion>;
  readonly read: (version: PolicyVersion) => ForeignReader;
}

function pastOf(verdict: Kept, about: ReadonlyMap<Digest, readonly Kept[]>, { versions, read }: Versions): PastDecision {
  const { envelope, logIndex, statement } = verdict;
  const parsed = parsePredicate('verdict', statement);
  const said = parsed['https://cairn.internal/verdict/v1'];
  const { by, facts, evidenceSet, release } = said;
  if (by === undefined || facts === undefined || evidenceSet === undefined) throw new CairnError('not-found', 'it was decided before verdicts said what they rest on');
  const subjects = subjectDigests(statement);
  // The platforms of its components are subjects of the verdict too.
  const made = { components: facts.components.map((digest, at) => ({ digest, platforms: at === 0 ? subjects.filter((one) => one !== release).map((one) => ({ digest: one })) : [] })) };
  const found = new Map<number, Kept>();
  for (const subject of [release, ...facts.components]) for (const one of about.get(subject) ?? []) if (one.logIndex < logIndex) found.set(one.logIndex, one);
  const policy = `sha256:${parsed.policy.digest.sha256}` as Digest;
  const version = versions.get(policy);
  const candidates = [...found.values()].toSorted((a, b) => a.logIndex - b.logIndex).flatMap((one): Candidate[] => {
    const isForeign = one.statement.predicateType === predicateTypes.foreign;
    if (!isForeign && !isWeighed(one.statement, release, made)) return [];
    const name = isForeign ? policy : '';
    if (!one.evidence.has(name)) one.evidence.set(name, isForeign ? version && readable(one, read(version)) : weighable({ ...one, digest: one.envelope }, one.time)[0]);
    const evidence = one.evidence.get(name);
    return evidence === undefined || (isForeign && !isOfRelease(evidence, release, made)) ? [] : [{ logIndex: one.logIndex, evidence }];
  });
  const statements = weighedOf(candidates, evidenceSet);
  if (statements === undefined) throw new CairnError('not-found', 'the ledger has not the statements that it weighed');
  return { envelope, logIndex, passed: parsed.verificationResult === 'PASSED', said: { ...said, by, facts }, policy, time: Date.parse(parsed.timeVerified) / 1000, statements };
}

/** What does not hold is left out, as it was then. */
function readable(one: Kept, read: ForeignReader): EvidenceStatement | undefined {
  try {
    return weighForeign({ ...one, digest: one.envelope }, one.time, read);
  } catch (error) {
    if (error instanceof CairnError && (error.code === 'verification-failed' || error.code === 'malformed-document')) return undefined;
    throw error;
  }
}
