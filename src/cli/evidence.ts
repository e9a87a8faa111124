import { parsePredicate, predicateTypes, subjectDigests, type Statement } from '#attest';
import { CairnError, type Digest } from '#core';
import type { ReleaseDocument } from '#release';
import type { AboutAnswer } from '#server';
import { verifyBundle } from '#verify';
import { holderOf, knownKeys, requireSameLog, type Footing } from './footing.ts';
import { count, moment, short } from './output.ts';
import type { Session } from './session.ts';

/** A statement that was verified here, from its bytes: signature, leaf, inclusion, checkpoint. */
export interface Vouched {
  readonly kind: string;
  readonly predicateType: string;
  readonly envelope: Digest;
  readonly signer: string;
  readonly logIndex: number;
  /** Seconds since 1970, by the log. */
  readonly time: number;
  readonly statement: Statement;
}

const kinds = new Map<string, string>(Object.entries(predicateTypes).map(([name, type]) => [type, name]));

function kindOf(predicateType: string): string {
  return kinds.get(predicateType) ?? predicateType;
}

/**
 * All that the log says about a release and its components. The server only hands over bytes: what it says that they are is not
 * taken. @throws CairnError `verification-failed` for the first that does not hold
 */
export async function gather(session: Session, footing: Footing, document: ReleaseDocument, release: Digest): Promise<Vouched[]> {
  const components = [...new Set(document.components.flatMap((one) => [one.digest, ...one.platforms.map(({ digest }) => digest)]))];
  const found = new Map<Digest, Vouched>();
  const older = new Map<string, string>();
  for (const digest of [release, ...components]) {
    for (const answer of await session.api.about(digest)) {
      if (found.has(answer.digest)) continue;
      const one = readVouched(footing, answer, digest);
      // Of a component only its contents: who built or promoted another release with the same component says nothing about this one.
      if (digest !== release && one.kind !== 'sbom') continue;
      found.set(answer.digest, one);
      const { checkpoint } = answer.bundle.verificationMaterial.tlogEntries[0].inclusionProof;
      older.set(checkpoint.envelope, checkpoint.envelope);
    }
  }
  for (const note of older.values()) await requireSameLog(session, footing, note);
  return [...found.values()].toSorted((a, b) => a.logIndex - b.logIndex);
}

/** Of one release and one kind only. */
export async function gatherKind(session: Session, footing: Footing, release: Digest, kind: string): Promise<Vouched[]> {
  const answers = (await session.api.about(release)).filter(({ predicateType }) => kindOf(predicateType) === kind);
  return answers.map((answer) => readVouched(footing, answer, release));
}

function readVouched(footing: Footing, answer: AboutAnswer, about: Digest): Vouched {
  const verified = verifyBundle(answer.bundle, { log: footing.log, keys: knownKeys(footing) });
  const { statement, envelope, logIndex, time } = verified;
  if (!subjectDigests(statement).includes(about)) throw new CairnError('verification-failed', `the statement at log entry ${logIndex} is about something else than ${short(about)}`, { fix: 'cairn audit' });
  return { kind: kindOf(statement.predicateType), predicateType: statement.predicateType, envelope, signer: holderOf(footing, verified.key) ?? 'a stranger', logIndex, time, statement };
}

export interface Package {
  readonly name: string;
  readonly version: string;
  readonly purl: string | null;
  readonly hashed: boolean;
}

/** The packages of all SBOMs, each once. */
export function packagesOf(vouched: readonly Vouched[]): Package[] {
  const all = new Map<string, Package>();
  for (const one of vouched.filter(({ kind }) => kind === 'sbom')) {
    for (const { name, purl = null, ...rest } of parsePredicate('sbom', one.statement).components) {
      const { version = '', group, hashes } = rest as { version?: string; group?: string; hashes?: unknown };
      const whole = typeof group === 'string' && group !== '' ? `${group}/${name}` : name;
      all.set(purl ?? `${whole}@${version}`, { name: whole, version: String(version), purl, hashed: Array.isArray(hashes) && hashes.length > 0 });
    }
  }
  return [...all.values()].toSorted((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
}

/** What a statement says, in a line. */
export function says({ kind, statement }: Pick<Vouched, 'kind' | 'statement'>): string {
  switch (kind) {
    case 'provenance': {
      const { source } = parsePredicate('provenance', statement).buildDefinition.externalParameters;
      return `built from ${source.digest.gitCommit.slice(0, 7)}`;
    }
    case 'sbom':
      return count(parsePredicate('sbom', statement).components.length, 'package');
    case 'tests': {
      const { result, 'https://cairn.internal/tests/v1': counted } = parsePredicate('tests', statement);
      return counted?.passed === undefined || counted.passed === null ? result.toLowerCase() : `${counted.passed} passed${counted.failed ? `, ${counted.failed} failed` : ''}`;
    }
    case 'notes':
      return count(parsePredicate('notes', statement).commits.length, 'commit');
    case 'approval': {
      const { environment, expires } = parsePredicate('approval', statement);
      return `for ${environment}, until ${expires}`;
    }
    case 'request': {
      const { action, environment } = parsePredicate('request', statement);
      return `${action} in ${environment}`;
    }
    case 'verdict': {
      const { verificationResult, 'https://cairn.internal/verdict/v1': verdict } = parsePredicate('verdict', statement);
      return `${verificationResult === 'PASSED' ? 'let into' : 'refused for'} ${verdict.environment} (${verdict.direction}), revision ${verdict.revision}`;
    }
    case 'intent':
    case 'outcome': {
      const { environment, revision, ...more } = parsePredicate(kind, statement);
      return `${'state' in more ? more.state : 'is started'} in ${environment}, revision ${revision}`;
    }
    case 'revocation':
      return `revoked: ${parsePredicate('revocation', statement).reason}`;
    case 'incident':
      return parsePredicate('incident', statement).what;
    case 'drill':
      return `rehearsed in ${parsePredicate('drill', statement).environment}`;
    default:
      return '';
  }
}
