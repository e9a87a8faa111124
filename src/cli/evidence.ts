import { parsePredicate, predicateTypes, subjectDigests, type Statement } from '#attest';
import { CairnError, type Digest } from '#core';
import { saysOf, type ReleaseDocument } from '#release';
import type { AboutAnswer } from '#server';
import { verifyBundle, type ForeignForm } from '#verify';
import { requirePinned } from './audit-signers.ts';
import { holderOf, knownKeys, requireSameLog, type Footing } from './footing.ts';
import { count, short } from './output.ts';
import { shownByTiles } from './remember.ts';
import type { Session } from './session.ts';

/** A statement that was verified here, from its bytes: signature, leaf, inclusion, checkpoint. */
export interface Vouched {
  readonly kind: string;
  readonly predicateType: string;
  readonly envelope: Digest;
  readonly signer: string;
  /** base64 SPKI. */
  readonly key: string;
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
 * All that the log says about a release, and the bill of materials of its components. The server only hands over bytes: what it says that
 * they are is not taken. @throws CairnError `verification-failed` for the first that does not hold
 */
export async function gather(session: Session, footing: Footing, document: ReleaseDocument, release: Digest): Promise<Vouched[]> {
  const found = new Map<Digest, Vouched>();
  const notes = new Set<string>();
  const take = (answers: readonly AboutAnswer[], about: Digest, fits: (one: Vouched) => boolean) => {
    for (const answer of answers) {
      const one = found.get(answer.digest) ?? readVouched(footing, answer, about);
      if (!fits(one)) continue;
      found.set(answer.digest, one);
      notes.add(answer.bundle.verificationMaterial.tlogEntries[0].inclusionProof.checkpoint.envelope);
    }
  };
  // Who built or promoted another release with the same component says nothing about this one. A bill counts if it is of all of them.
  const components = [...new Set(document.components.map(({ digest }) => digest))];
  const [first] = components;
  const covers = ({ statement }: Vouched) => {
    const subjects = new Set(subjectDigests(statement));
    return components.every((one) => subjects.has(one));
  };
  const [own, ...bills] = await Promise.all([session.api.about(release), ...(first === undefined ? [] : [predicateTypes.sbom, predicateTypes.spdx].map((type) => session.api.about(first, type)))]);
  take(own, release, () => true);
  for (const answers of bills) if (first !== undefined) take(answers, first, covers);
  // One tile proves hundreds of checkpoints: they are not asked for one by one.
  const shown = shownByTiles(session.api);
  await Promise.all([...notes].map((note) => requireSameLog(session, footing, note, shown)));
  return [...found.values()].toSorted((a, b) => a.logIndex - b.logIndex);
}

/** Of one release and one kind only. */
export async function gatherKind(session: Session, footing: Footing, release: Digest, kind: keyof typeof predicateTypes): Promise<Vouched[]> {
  const predicateType = predicateTypes[kind];
  return (await session.api.about(release, predicateType)).map((answer) => readVouched(footing, answer, release));
}

function readVouched(footing: Footing, answer: AboutAnswer, about: Digest): Vouched {
  const verified = verifyBundle(answer.bundle, { log: footing.log, keys: knownKeys(footing) });
  const { statement, envelope, logIndex, time } = verified;
  if (!subjectDigests(statement).includes(about)) throw new CairnError('verification-failed', `the statement at log entry ${logIndex} is about something else than ${short(about)}`, { fix: 'cairn audit' });
  if (statement.predicateType === predicateTypes.verdict) requirePinned(footing.policies, statement, logIndex);
  return { kind: kindOf(statement.predicateType), predicateType: statement.predicateType, envelope, signer: holderOf(footing, verified.key) ?? 'a stranger', key: verified.key, logIndex, time, statement };
}

export interface Package {
  readonly name: string;
  readonly version: string;
  readonly purl: string | null;
  readonly hashed: boolean;
}

/** Of the newest bill of materials. Where other releases have the same components, each has one of its own: that of this commit is meant. */
export function packagesOf(vouched: readonly Vouched[], { source }: Pick<ReleaseDocument, 'source'>): Package[] {
  const all = new Map<string, Package>();
  const bills = vouched.filter(({ kind }) => kind === 'sbom');
  const own = bills.findLast(({ statement }) => (statement.predicate as { metadata?: { component?: { version?: unknown } } }).metadata?.component?.version === source.commit);
  for (const one of [own ?? bills.at(-1) ?? vouched.findLast(({ kind }) => kind === 'spdx')].filter((bill) => bill !== undefined)) {
    const said = saysOf(one.statement);
    const hashed = new Set(one.kind === 'sbom' ? parsePredicate('sbom', one.statement).components.filter(({ hashes }) => Array.isArray(hashes) && hashes.length > 0).map(({ purl }) => purl) : []);
    const groups = new Map(one.kind === 'sbom' ? parsePredicate('sbom', one.statement).components.map(({ purl, group }) => [purl, group]) : []);
    for (const { name, version, purl } of said?.kind === 'sbom' ? said.packages : []) {
      const group = groups.get(purl);
      const whole = typeof group === 'string' && group !== '' ? `${group}/${name}` : name;
      all.set(purl === '' ? `${whole}@${version}` : purl, { name: whole, version, purl: purl === '' ? null : purl, hashed: hashed.has(purl) });
    }
  }
  return [...all.values()].toSorted((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
}

/** What another tool signed, by its own type; it was verified by who took it in, and is again at every decision. */
function inside(said: ForeignForm): string {
  if (said.form === 'simplesigning') return 'a signature of cosign';
  const { payload } = said.form === 'dsse' ? (JSON.parse(said.envelope) as { payload: string }) : ((JSON.parse(said.bundle) as { dsseEnvelope?: { payload: string } }).dsseEnvelope ?? { payload: '' });
  const type = payload === '' ? undefined : (JSON.parse(Buffer.from(payload, 'base64').toString('utf8')) as { predicateType: string }).predicateType;
  return type === undefined || type === 'https://sigstore.dev/cosign/sign/v1' ? 'a signature of another tool' : `${kindOf(type)} of another tool`;
}

const gravest = ['critical', 'high', 'medium', 'low', 'error', 'warning', 'note', 'none', 'unknown'];

/** `3 findings: 1 error, 2 warning`. */
function tally(words: readonly string[], one: string, many: string): string {
  const parts = gravest.flatMap((word) => {
    const found = words.filter((each) => each === word).length;
    return found === 0 ? [] : `${found} ${word}`;
  });
  return `${count(words.length, one, many)}${parts.length === 0 ? '' : `: ${parts.join(', ')}`}`;
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
    case 'spdx':
      return count(parsePredicate('spdx', statement).packages.length, 'package');
    case 'scan': {
      const { vulnerabilities } = saysOf(statement) as Extract<ReturnType<typeof saysOf>, { kind: 'scan' }>;
      return tally(vulnerabilities.map(({ severity }) => severity), 'vulnerability', 'vulnerabilities');
    }
    case 'findings': {
      const { tool, findings } = parsePredicate('findings', statement);
      return `${tool}: ${tally(findings.map(({ level }) => level), 'finding', 'findings')}`;
    }
    case 'foreign':
      return inside(parsePredicate('foreign', statement));
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
    case 'breakGlass': {
      const { environment, reason, expires } = parsePredicate('breakGlass', statement);
      return `past the gate of ${environment}, until ${expires}: ${reason}`;
    }
    case 'settlement': {
      const { environment, reason } = parsePredicate('settlement', statement);
      return `settled what broken glass left in ${environment}: ${reason}`;
    }
    case 'resolution': {
      const { incident, owner, resolution } = parsePredicate('resolution', statement);
      return resolution === null ? `${owner} looks after incident ${incident}` : `incident ${incident}: ${resolution}`;
    }
    case 'incident':
      return parsePredicate('incident', statement).what;
    case 'drill':
      return `rehearsed in ${parsePredicate('drill', statement).environment}`;
    default:
      return '';
  }
}
