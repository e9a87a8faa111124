import type { RequestOptions } from 'node:http';
import type { Envelope } from '#attest';
import { CairnError, errorCodes, type Digest, type ErrorCode } from '#core';
import type { StoredRelease } from '#ledger';
import type { Debt, Drill, GlassBroken, Incident, ReleaseDocument, RevokedKey, RevokedPackage, RollbackPlan, RollbackRequest, SignedStatement, Timeline, Touched } from '#release';
import type { ForeignForm } from '#verify';
import type { Collected } from './collect.ts';
import type { ErrorAnswer, Info, MovedAnswer, ProofAnswer, StatementAnswer } from './contract.ts';
import type { GcAnswer } from './gc.ts';
import type { PoliciesAnswer, SignedAnswer } from './policies.ts';
import type { AboutAnswer } from './reads.ts';
import type { RunnerState } from './status.ts';
import type { WitnessAnswer } from './witnesses.ts';

export type ApiClient = ReturnType<typeof apiClient>;

/** One GET. @throws where nobody answers */
type Look = (path: string, headers: Readonly<Record<string, string>>) => Promise<{ status: number; bytes: Buffer }>;

/** The commands' end of the contract. Errors come back as the CairnError that the server threw. */
export function apiClient(baseUrl: string, token: string, look: Look = (path, headers) => send(new URL(path, baseUrl), { method: 'GET', headers }, undefined)) {
  async function exchange(method: 'GET' | 'POST', path: string, content?: unknown, signal?: AbortSignal): Promise<Buffer> {
    const headers: Record<string, string> = { authorization: `Bearer ${token}`, ...(content !== undefined && { 'content-type': 'application/json' }) };
    const asked = method === 'GET' && signal === undefined ? look(path, headers) : send(new URL(path, baseUrl), { method, headers, ...(signal !== undefined && { signal }) }, content === undefined ? undefined : JSON.stringify(content));
    const { status, bytes } = await asked.catch((cause: unknown) => {
      throw new CairnError('unreachable', `no control server answers at ${baseUrl}`, { cause, fix: 'cairn up', retryable: true });
    });
    if (status < 300) return bytes;
    throw errorFrom(bytes, status);
  }
  const get = async <T>(path: string, signal?: AbortSignal): Promise<T> => JSON.parse((await exchange('GET', path, undefined, signal)).toString('utf8')) as T;
  const post = async <T>(path: string, content: unknown, signal?: AbortSignal): Promise<T> => JSON.parse((await exchange('POST', path, content, signal)).toString('utf8')) as T;

  return {
    info: (signal?: AbortSignal) => get<Info>('/api/v1/info', signal),
    policy: () => get<unknown>('/api/v1/policy'),
    policies: () => get<PoliciesAnswer>('/api/v1/policies'),
    signPolicy: (signed: SignedStatement) => post<SignedAnswer>('/api/v1/policies', signed),
    timelines: () => get<Timeline[]>('/api/v1/timelines'),
    timeline: (application: string, environment: string) => get<Timeline>(`/api/v1/timelines/${application}/${environment}`),
    findRelease: (application: string, prefix: string) => get<Digest[]>(`/api/v1/releases/${application}/${prefix}`),
    statements: (about: Digest) => get<AboutAnswer[]>(`/api/v1/statements/${about}`),
    addStatement: (application: string, signed: SignedStatement) => post<StatementAnswer>(`/api/v1/statements/${application}`, signed),
    /** What another tool signed about the release or a part of it. */
    addForeign: (application: string, release: Digest, said: ForeignForm) => post<StatementAnswer>(`/api/v1/foreign/${application}/${release}`, said),
    collect: (application: string, release: Digest) => post<Collected>(`/api/v1/collect/${application}/${release}`, {}),
    promote: (signed: SignedStatement) => post<MovedAnswer>('/api/v1/promote', signed),
    resume: (signed: SignedStatement) => post<object>('/api/v1/resume', signed),
    rollback: (wanted: RollbackRequest, signal?: AbortSignal) => post<MovedAnswer>('/api/v1/rollback', wanted, signal),
    settle: (operation: string) => post<MovedAnswer>('/api/v1/settle', { operation }),
    plan: (application: string, environment: string) => get<RollbackPlan>(`/api/v1/plan/${application}/${environment}`),
    drill: (wanted: Omit<RollbackRequest, 'reason'>) => post<Drill>('/api/v1/drill', wanted),
    traffic: (signed: SignedStatement) => post<object>('/api/v1/traffic', signed),
    revoke: (signed: SignedStatement) => post<Touched[]>('/api/v1/revoke', signed),
    revocations: () => get<AboutAnswer[]>('/api/v1/revocations'),
    revoked: () => get<{ keys: RevokedKey[]; packages: RevokedPackage[] }>('/api/v1/revoked'),
    breakGlass: (signed: SignedStatement) => post<GlassBroken>('/api/v1/break-glass', signed),
    debts: () => get<Debt[]>('/api/v1/debts'),
    settleDebt: (signed: SignedStatement) => post<object>('/api/v1/debts', signed),
    resolve: (signed: SignedStatement) => post<object>('/api/v1/incidents', signed),
    document: (application: string, release: Digest) => get<ReleaseDocument>(`/api/v1/releases/${application}/${release}/document`),
    latestRelease: (application: string) => get<{ release: Digest; commit: string } | null>(`/api/v1/latest/${application}`),
    /** Statements about a digest, of one predicate type or of all. */
    about: (digest: Digest, predicateType?: string) => get<AboutAnswer[]>(`/api/v1/statements/${digest}${predicateType === undefined ? '' : `?type=${encodeURIComponent(predicateType)}`}`),
    releases: (limit: number, application?: string) => get<StoredRelease[]>(`/api/v1/releases?limit=${limit}${application === undefined ? '' : `&application=${application}`}`),
    runner: () => get<RunnerState>('/api/v1/runner'),
    incidents: () => get<Incident[]>('/api/v1/incidents'),
    secrets: (application: string, environment: string) => get<Record<string, number>>(`/api/v1/secrets/${application}/${environment}`),
    putSecret: (secret: { application: string; environment: string; name: string; value: string }) => post<{ version: number }>('/api/v1/secrets', secret),
    collectGarbage: (dryRun: boolean) => post<GcAnswer>('/api/v1/gc', { dryRun }),
    /** The chain of trust as the server holds it: to be verified from a version that is known. */
    trust: () => get<unknown>('/api/v1/trust'),
    prepareRotation: () => post<{ key: string; size: number }>('/api/v1/log/rotation/prepare', {}),
    rotate: (envelopes: readonly Envelope[]) => post<unknown>('/api/v1/log/rotation', { envelopes }),
    rebuildLedger: () => post<{ counted: number; same: boolean }>('/api/v1/ledger/rebuild', {}),
    witnessed: (size: number, threshold: number) => get<WitnessAnswer[]>(`/api/v1/witnessed?size=${size}&threshold=${threshold}`),
    /** By number, or by the digest of a statement's envelope. */
    prove: (entry: string) => get<ProofAnswer>(`/api/v1/log/proof/${encodeURIComponent(entry)}`),
    consistency: (from: number, to: number) => get<string[]>(`/api/v1/log/consistency?from=${from}&to=${to}`),
    tile: (level: number, index: number): Promise<Uint8Array> => exchange('GET', `/api/v1/log/tiles/${level}/${index}`),
    bodies: async (from: number, to: number) => (await get<string[]>(`/api/v1/log/entries?from=${from}&to=${to}`)).map((one) => Buffer.from(one, 'base64')),
  };
}

/** As long as anything may take that the server does within one call. */
const answerMs = 300_000;

/**
 * One request on a connection of its own: a kept one may be closed by a restarting server just as it is used. The module is got and not
 * imported, which would load all that it could be asked for, and takes longer than most commands.
 */
function send(url: URL, options: RequestOptions, body: string | undefined): Promise<{ status: number; bytes: Buffer }> {
  const { request } = process.getBuiltinModule('node:http');
  return new Promise((resolve, reject) => {
    const call = request(url, { ...options, agent: false }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk)).once('error', reject);
      response.once('end', () => (response.complete ? resolve({ status: response.statusCode ?? 500, bytes: Buffer.concat(chunks) }) : reject(new Error('the answer broke off'))));
    });
    call.setTimeout(answerMs, () => call.destroy(new Error('it does not answer')));
    call.once('error', reject).end(body);
  });
}

function errorFrom(bytes: Buffer, status: number): CairnError {
  try {
    const { error } = JSON.parse(bytes.toString('utf8')) as ErrorAnswer;
    if (!(error.code in errorCodes)) throw new Error(error.code);
    return new CairnError(error.code as ErrorCode, error.message, { ...(error.fix !== null && { fix: error.fix }), context: error.context, retryable: error.retryable });
  } catch (cause) {
    return new CairnError('internal', `the control server answered ${status} and no reason`, { cause });
  }
}
