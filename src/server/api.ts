import { timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { Hono, type Context } from 'hono';
import { z } from 'zod';
import { parseEnvelope, parsePredicate, parseStatement, payloadOf, predicateTypes, verifyEnvelope } from '#attest';
import { asCairnError, CairnError, parseDigest, problemsOf, sha256, type CairnError as Failure, type Clock } from '#core';
import type { OpenLedger } from '#ledger';
import { environmentOf, policyDigest } from '#policy';
import { saysOf, type Delivery, type Registry, type SignedStatement } from '#release';
import { publicKeyFrom } from '#sign';
import { isLocal } from './local.ts';
import type { Collector } from './collect.ts';
import { foreignRoutes } from './foreign-routes.ts';
import type { ErrorAnswer, Info, ProofAnswer, StatementAnswer } from './contract.ts';
import type { GcAnswer } from './gc.ts';
import type { LogTrust } from './log-trust.ts';
import { proofOf } from './log-proof.ts';
import type { PublicLogOptions } from './public-log.ts';
import { policyRoutes } from './policies.ts';
import { reads, type ReadOptions } from './reads.ts';
import type { SecretStore } from './secrets.ts';
import type { Witnessing } from './witnesses.ts';

export interface ApiOptions extends Pick<PublicLogOptions, 'published'> {
  readonly ledger: OpenLedger;
  readonly delivery: Delivery;
  readonly registry: Registry;
  readonly secrets: SecretStore;
  readonly collector: Collector;
  readonly token: string;
  readonly logTrust: LogTrust;
  readonly info: Omit<Info, 'checkpoint' | 'policy'>;
  readonly clock: Clock;
  readonly reader: ReadOptions['reader'];
  readonly runner: ReadOptions['runner'];
  /** Absent: the log has no witnesses. */
  readonly witnessing?: Witnessing;
  /** Prometheus text of the data plane. */
  readonly metrics: () => Promise<string>;
  /** Called with no timeline changing meanwhile. */
  readonly collectGarbage: (dryRun: boolean) => Promise<GcAnswer>;
}

const name = z.string().regex(/^[a-z0-9][a-z0-9-]{0,62}$/);
const signedBody = z.strictObject({ envelope: z.unknown(), key: z.string().max(1024) });
const spot = { application: name, environment: name };
const wanted = { operation: z.string().min(8).max(128), ...spot, by: name, to: z.int().positive().optional(), keepConfiguration: z.boolean().optional() };
const rollbackBody = z.strictObject({ ...wanted, reason: z.string().max(4096).nullable() });
const drillBody = z.strictObject(wanted);
const secretBody = z.strictObject({ ...spot, name: z.string().max(128), value: z.string().max(1 << 20) });
const gcBody = z.strictObject({ dryRun: z.boolean() });
const settleBody = z.strictObject({ operation: z.string().min(8).max(128) });
const rotationBody = z.strictObject({ envelopes: z.array(z.unknown()).min(1).max(16) });
const count = z.coerce.number().int().nonnegative();

/** Of one question; a caller whose promotion is watched for longer asks again. */
const patienceMs = 20_000;

/** What people and builders write by themselves; everything else is asked for and recorded by the server. */
const taken: ReadonlySet<string> = new Set([
  predicateTypes.provenance, predicateTypes.sbom, predicateTypes.spdx, predicateTypes.tests, predicateTypes.scan, predicateTypes.findings, predicateTypes.notes, predicateTypes.approval,
]);

export function api(options: ApiOptions): Hono {
  const { ledger, delivery, registry, secrets } = options;
  const app = new Hono();
  app.onError((error, context) => answerError(context, asCairnError(error)));
  app.notFound((context) => answerError(context, new CairnError('not-found', `there is nothing at ${context.req.path}`)));
  // Numbers by digest are for a scraper that has no token; they hold nothing that /v2/ does not say.
  app.get('/metrics', async (context) => {
    requireLocal(context);
    return context.body(await options.metrics(), 200, { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' });
  });
  app.use('*', async (context, next) => {
    requireLocal(context);
    requireToken(context, options.token);
    await next();
  });

  reads(app, options);
  foreignRoutes(app, options, bodyOf);
  policyRoutes(app, { ledger, environments: options.info.environments.map(({ name: one }) => one), clock: options.clock, readSigned });
  app.get('/api/v1/info', async (context) => {
    const newest = await ledger.checkpoint();
    // With what witnesses said of it: whoever remembers it can show later whom else it was shown to.
    const checkpoint = newest === undefined ? { size: 0, note: '' } : { ...newest, note: options.witnessing?.decorate(newest.note) ?? newest.note };
    return context.json({ ...options.info, policy: policyDigest(await ledger.policy()), checkpoint } satisfies Info);
  });
  app.get('/api/v1/policy', async (context) => context.json(await ledger.policy()));
  app.get('/api/v1/timelines', async (context) => context.json(await ledger.timelines()));
  app.get('/api/v1/timelines/:application/:environment', async (context) => context.json(await ledger.timeline(context.req.param('application'), context.req.param('environment'))));
  app.get('/api/v1/releases/:application/:prefix', async (context) => {
    const prefix = z.string().regex(/^[0-9a-f]{4,64}$/).parse(context.req.param('prefix'));
    return context.json(await ledger.findRelease(context.req.param('application'), prefix));
  });
  app.post('/api/v1/statements/:application', async (context) => {
    const signed = await readSigned(context);
    await requireWriter(signed);
    const [logged] = await ledger.commit([signed]);
    if (logged === undefined) throw new CairnError('storage', 'the statement was not logged');
    await registry.attach(context.req.param('application'), logged);
    return context.json({ digest: logged.digest, logIndex: logged.logIndex, bundle: logged.bundle } satisfies StatementAnswer, 201);
  });
  app.get('/api/v1/releases/:application/:digest/document', async (context) => context.json(await registry.document(context.req.param('application'), parseDigest(context.req.param('digest')))));
  app.get('/api/v1/latest/:application', async (context) => context.json((await ledger.latestRelease(context.req.param('application'))) ?? null));
  app.get('/api/v1/incidents', async (context) => context.json(await ledger.incidents()));
  app.get('/api/v1/secrets/:application/:environment', async (context) => context.json(await secrets.latest(read(name, context.req.param('application')), read(name, context.req.param('environment')))));
  app.post('/api/v1/secrets', async (context) => {
    const { application, environment, name: of, value } = read(secretBody, await body(context));
    environmentOf(await ledger.policy(), environment);
    return context.json({ version: await secrets.put(application, environment, of, value) }, 201);
  });
  app.get('/api/v1/plan/:application/:environment', async (context) => context.json(await delivery.plan({ application: context.req.param('application'), environment: context.req.param('environment') })));
  app.post('/api/v1/settle', async (context) => context.json(await delivery.settle(read(settleBody, await body(context)).operation, patienceMs)));
  app.post('/api/v1/drill', async (context) => context.json(await delivery.drill(read(drillBody, await body(context)))));
  app.post('/api/v1/traffic', async (context) => {
    await delivery.traffic(await readSigned(context));
    return context.json({});
  });
  app.post('/api/v1/revoke', async (context) => context.json(await delivery.revoke(await readSigned(context))));
  app.post('/api/v1/break-glass', async (context) => context.json(await delivery.breakGlass(await readSigned(context))));
  app.get('/api/v1/debts', async (context) => context.json(await ledger.debts()));
  app.post('/api/v1/debts', async (context) => {
    await delivery.settleDebt(await readSigned(context));
    return context.json({});
  });
  app.post('/api/v1/incidents', async (context) => {
    await delivery.resolve(await readSigned(context));
    return context.json({});
  });
  app.post('/api/v1/promote', async (context) => context.json(await delivery.promote(await readSigned(context))));
  app.post('/api/v1/resume', async (context) => {
    await delivery.resume(await readSigned(context));
    return context.json({});
  });
  app.post('/api/v1/rollback', async (context) => context.json(await delivery.rollback(read(rollbackBody, await body(context)))));
  app.post('/api/v1/gc', async (context) => {
    const { dryRun } = read(gcBody, await body(context));
    return context.json(await delivery.quietly(() => options.collectGarbage(dryRun)));
  });
  app.post('/api/v1/ledger/rebuild', async (context) => context.json(await ledger.rebuild()));
  app.get('/api/v1/trust', (context) => context.json(options.logTrust.file()));
  app.post('/api/v1/log/rotation/prepare', async (context) => context.json(await options.logTrust.prepare()));
  app.post('/api/v1/log/rotation', async (context) => {
    const { envelopes } = read(rotationBody, await body(context));
    return context.json(await options.logTrust.rotate(envelopes.map(parseEnvelope)));
  });
  app.get('/api/v1/log/proof/:entry', async (context) => context.json(await proofOf(options, context.req.param('entry')) satisfies ProofAnswer));
  app.get('/api/v1/log/consistency', async (context) => context.json(await ledger.consistency(read(count, context.req.query('from')), read(count, context.req.query('to')))));
  app.get('/api/v1/log/tiles/:level/:index', async (context) => {
    const tile = await ledger.tile(read(count, context.req.param('level')), read(count, context.req.param('index')));
    if (tile === undefined) throw new CairnError('not-found', 'the log has no such tile');
    return context.body(Uint8Array.from(tile));
  });
  app.get('/api/v1/log/entries', async (context) => {
    const from = read(count, context.req.query('from'));
    const bodies = await ledger.bodies(from, Math.min(read(count, context.req.query('to')), from + 256));
    return context.json(bodies.map((one) => Buffer.from(one).toString('base64')));
  });

  /** Only keys of the policy write statements that count, and only of the kinds that people write by themselves. */
  async function requireWriter(signed: SignedStatement): Promise<void> {
    const { name: signer } = await delivery.requireWriter(signed);
    const statement = parseStatement(payloadOf(signed.envelope));
    const { predicateType } = statement;
    if (!taken.has(predicateType)) throw new CairnError('refused', `statements of the type ${predicateType} are not taken here`);
    // One whose form is not that of its type would stop every later decision about the release.
    saysOf(statement);
    if (predicateType !== predicateTypes.approval) return;
    const { by } = parsePredicate('approval', statement);
    if (signer !== by) throw new CairnError('unauthorized', `the approval says it is by ${by}, its key says otherwise`, { fix: 'Sign with your own key' });
  }
  return app;
}

function requireLocal(context: Context): void {
  const host = context.req.header('host');
  if (!isLocal({ host, origin: context.req.header('origin') })) throw new CairnError('unauthorized', `requests for ${host ?? 'no host'} are not answered`, { fix: 'Use http://127.0.0.1' });
}

function requireToken(context: Context, token: string): void {
  const given = context.req.header('authorization') ?? '';
  // Hashed first, so that neither length nor the first wrong byte shows in the time taken.
  if (!timingSafeEqual(sha256(given), sha256(`Bearer ${token}`))) throw new CairnError('unauthorized', 'the API token is missing or wrong', { fix: 'Run the command as the user who ran cairn up' });
}

async function readSigned(context: Context): Promise<SignedStatement> {
  const { envelope: value, key } = read(signedBody, await body(context));
  const envelope = parseEnvelope(value);
  if (!verifyEnvelope(envelope, publicKeyFrom(key, 'ecdsa'))) throw new CairnError('verification-failed', 'the signature does not belong to the statement');
  return { envelope, key };
}

/** The largest request, in bytes: a bill of materials of tens of thousands of packages fits. */
const largestRequest = 48 << 20;

/** Read up to the limit and no further, whatever the headers say or leave out: memory is ours to bound. */
const body = (context: Context): Promise<unknown> => bodyOf(context.req.raw, (context.env as { readonly incoming?: IncomingMessage } | undefined)?.incoming);

/** From Node's own stream where there is one: a web stream around it takes longer than checking the signature of what comes. */
async function bodyOf(request: Request, incoming?: IncomingMessage): Promise<unknown> {
  const tooLarge = () => new CairnError('malformed-document', `the request is larger than ${largestRequest >> 20} MiB`, { fix: 'Attest what is smaller, such as packages without their files', context: { reason: 'too-large' } });
  if (Number(incoming?.headers['content-length'] ?? request.headers.get('content-length') ?? 0) > largestRequest) throw tooLarge();
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of (incoming?.iterator({ destroyOnReturn: false }) ?? request.body ?? []) as AsyncIterable<Uint8Array>) {
    size += chunk.byteLength;
    if (size > largestRequest) throw tooLarge();
    chunks.push(chunk);
  }
  try {
    return JSON.parse(Buffer.concat(chunks).toString('utf8'));
  } catch (cause) {
    throw new CairnError('malformed-document', 'the request is not JSON', { cause });
  }
}

function read<T>(schema: z.ZodType<T>, value: unknown): T {
  const parsed = schema.safeParse(value);
  if (!parsed.success) throw new CairnError('malformed-document', `the request is malformed: ${problemsOf(parsed.error)}`);
  return parsed.data;
}

const statusOf: Partial<Record<Failure['code'], 400 | 401 | 403 | 404 | 409 | 422 | 500 | 503>> = {
  internal: 500, storage: 500, unreachable: 503, unauthorized: 401, refused: 403, 'verification-failed': 403,
  'not-found': 404, 'unknown-reference': 404, conflict: 409, unhealthy: 422, 'nothing-to-return-to': 409, reverted: 409, incident: 403, 'storage-full': 500, throttled: 503,
};

function answerError(context: Context, error: Failure): Response {
  const { code, message, fix, retryable } = error;
  const answer: ErrorAnswer = { error: { code, message, fix: fix ?? null, context: error.context, retryable } };
  return context.json(answer, statusOf[code] ?? 400);
}
