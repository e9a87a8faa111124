import { parseDocument } from 'yaml';
import { z } from 'zod';
import { CairnError, digestOf, type Digest } from '#core';
import type { Evidence, EvidenceStatement, Policy, Question, Says } from '#policy';

// Cases beside a policy: what somebody asks, what is known, and what must come of it. Statements in short form, by the names of the policy.

const name = z.string().min(1).max(128);
/** `90s`, `10m`, `2h`, `30d`. */
const span = z.string().regex(/^\d+(\.\d+)?[smhd]$/, 'give a time such as 90s, 10m, 2h or 30d').transform((text) => Number(text.slice(0, -1)) * ({ s: 1, m: 60, h: 3600, d: 86_400 }[text.at(-1) ?? 's'] ?? 1));
const said = { by: name, ago: span.optional() };
const statement = z.union([
  z.strictObject({ ...said, provenance: z.union([z.literal(true), z.strictObject({ commit: name.optional(), source: name.optional(), builder: name.optional() })]) }),
  /** `pkg:npm/left-pad@1.3.0 MIT`: a purl and its licences. */
  z.strictObject({ ...said, sbom: z.array(z.string()) }),
  z.strictObject({ ...said, tests: z.enum(['PASSED', 'WARNED', 'FAILED']), passed: z.int().nonnegative().optional(), failed: z.int().nonnegative().optional() }),
  /** `CVE-2026-1 high pkg:npm/left-pad@1.3.0 1.3.1`: id, severity, package, first version without it. */
  z.strictObject({ ...said, scan: z.array(z.string()), scanner: name.optional() }),
  /** `js/sql-injection error`: rule and level. */
  z.strictObject({ ...said, findings: z.array(z.string()), tool: name.optional() }),
  z.strictObject({ ...said, approval: z.union([z.literal(true), z.strictObject({ environment: name.optional(), expires: span.optional() })]) }),
  z.strictObject({ ...said, signature: z.literal(true) }),
]);
const release = z.strictObject({
  application: name.optional(), commit: name.optional(), source: name.optional(), changes: z.boolean().optional(), since: span.optional(), confirmed: z.record(name, span).optional(), quarantined: z.boolean().optional(),
  witnessed: z.array(name).optional(),
});
const oneCase = z.strictObject({
  name,
  ask: z.strictObject({ environment: name, by: name, direction: z.enum(['promote', 'rollback']).default('promote'), at: z.iso.datetime().optional() }),
  release: release.default({}),
  statements: z.array(statement).default([]),
  expect: z.enum(['admitted', 'refused']),
  rules: z.record(name, z.enum(['passed', 'failed'])).default({}),
});
const schema = z.strictObject({ cases: z.array(oneCase).min(1) });

type OneCase = z.infer<typeof oneCase>;
type SaidStatement = OneCase['statements'][number];

export interface Case {
  readonly name: string;
  readonly question: Question;
  readonly evidence: Evidence;
  readonly expect: 'admitted' | 'refused';
  readonly rules: Readonly<Record<string, 'passed' | 'failed'>>;
}

const usualTime = '2026-03-04T10:30:00Z';
const [digest, component] = [digestOf('the release of a case'), digestOf('its component')];

/** @throws CairnError `invalid-policy`, with what is wrong */
export function readCases(text: string, file: string, policy: Policy): Case[] {
  const document = parseDocument(text, { uniqueKeys: true });
  const [error] = document.errors;
  if (error !== undefined) throw new CairnError('invalid-policy', `${file}: ${error.message.split('\n')[0]}`, { fix: `Mend ${file}` });
  const parsed = schema.safeParse(document.toJS({ maxAliasCount: 100 }));
  if (!parsed.success) throw new CairnError('invalid-policy', `${file}: ${z.prettifyError(parsed.error).split('\n').slice(0, 4).join(' ')}`, { fix: 'docs/guides/policy.md shows what a case can say' });
  return parsed.data.cases.map((one) => caseOf(one, policy));
}

function caseOf({ name: title, ask, release: about, statements, expect, rules }: OneCase, policy: Policy): Case {
  const time = Date.parse(ask.at ?? usualTime) / 1000;
  const { application = 'application', commit = 'c0ffee1', source = null, changes = false, confirmed = {}, quarantined = false, witnessed = [] } = about;
  const facts = { application, commit, source };
  const all = statements.map((one, at) => statementOf(one, at, { policy, time, environment: ask.environment, ...facts }));
  const evidence: Evidence = {
    release: digest, ...facts, changes: changes ? 'a tree of its own' : null, components: [component], statements: all, quarantined,
    confirmedIn: Object.entries(confirmed).map(([environment, ago]) => ({ environment, time: time - ago })), since: about.since === undefined ? (all[0]?.time ?? null) : time - about.since,
    revoked: null, revokedKeys: [], revokedPackages: [], breakGlass: null, debts: [], witnessed: witnessed.length === 0 ? null : { size: all.length + 1, witnesses: witnessed }, sources: [], schema: null,
  };
  return { name: title, question: { environment: ask.environment, direction: ask.direction, by: ask.by, time }, evidence, expect, rules };
}

interface Place {
  readonly policy: Policy;
  readonly time: number;
  readonly environment: string;
  readonly application: string;
  readonly commit: string;
  readonly source: string | null;
}

/** By the person's first key; of a name that the policy does not have, by a key that it does not know. */
function statementOf(one: SaidStatement, logIndex: number, place: Place): EvidenceStatement {
  const person = place.policy.people.find((other) => other.name === one.by);
  const [identity] = person?.identities ?? [];
  const key = person?.keys[0] ?? (identity === undefined ? `stranger ${one.by}` : undefined);
  const signer = key !== undefined ? ({ kind: 'key', key } as const) : ({ kind: 'identity', issuer: identity?.issuer ?? '', subject: identity?.subject ?? '' } as const);
  const envelope: Digest = digestOf(`${logIndex} ${one.by}`);
  return { envelope, predicateType: 'a case', subjects: [digest, component], signer, logIndex, time: place.time - (one.ago ?? 3600), says: saysOf(one, place) };
}

function saysOf(one: SaidStatement, { time, environment, application, commit, source }: Place): Says {
  if ('provenance' in one) {
    const given = one.provenance === true ? {} : one.provenance;
    return { kind: 'provenance', commit: given.commit ?? commit, source: given.source ?? source ?? 'git+https://example.com/repository', builder: given.builder ?? `https://example.com/builders/${one.by}`, changes: null };
  }
  if ('sbom' in one) return { kind: 'sbom', packages: one.sbom.map(packageOf) };
  if ('tests' in one) return { kind: 'tests', result: one.tests, passed: one.passed ?? null, failed: one.failed ?? null };
  if ('scan' in one) return { kind: 'scan', scanner: one.scanner ?? 'osv-scanner', finished: time - (one.ago ?? 3600), vulnerabilities: one.scan.map(vulnerabilityOf) };
  if ('findings' in one) return { kind: 'findings', tool: one.tool ?? 'semgrep', findings: one.findings.map(findingOf) };
  if ('signature' in one) return { kind: 'signature' };
  const { environment: where = environment, expires = 86_400 } = one.approval === true ? {} : one.approval;
  return { kind: 'approval', application, environment: where, by: one.by, expires: time + expires };
}

function packageOf(text: string) {
  const [purl = '', ...licenses] = text.split(' ');
  const [, whole = purl, version = ''] = /^pkg:[^/]+\/(.+?)(?:@([^@]*))?$/.exec(purl) ?? [];
  return { purl, name: whole, version, licenses };
}

function vulnerabilityOf(text: string) {
  const [id = '', severity = 'unknown', of = '', fixed] = text.split(' ');
  if (!isSeverity(severity)) throw new CairnError('invalid-policy', `"${text}": ${severity} is no severity`, { fix: `One of: ${severities.join(', ')}` });
  return { id, package: of, severity, score: null, fixed: fixed ?? null };
}

const severities = ['none', 'low', 'medium', 'high', 'critical', 'unknown'] as const;
const isSeverity = (text: string): text is (typeof severities)[number] => (severities as readonly string[]).includes(text);

const levels = ['none', 'note', 'warning', 'error'] as const;
const isLevel = (text: string): text is (typeof levels)[number] => (levels as readonly string[]).includes(text);

function findingOf(text: string) {
  const [rule = '', level = 'warning'] = text.split(' ');
  if (!isLevel(level)) throw new CairnError('invalid-policy', `"${text}": ${level} is no level`, { fix: `One of: ${levels.join(', ')}` });
  return { rule, level };
}
