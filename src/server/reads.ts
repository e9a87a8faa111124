import type { Hono } from 'hono';
import { predicateTypes } from '#attest';
import { CairnError, digestOf, parseDigest } from '#core';
import type { LedgerReader, OpenLedger } from '#ledger';
import { policyDigest } from '#policy';
import type { Logged, Registry } from '#release';
import type { Info } from './contract.ts';
import { witnessAnswers, type Witnessing } from './witnesses.ts';
import { statusReader, type RunnerState, type StatusAnswer } from './status.ts';

export interface ReadOptions {
  readonly ledger: OpenLedger;
  /** The same ledger, read only: long reads never stand in the way of a write. */
  readonly reader: LedgerReader;
  readonly registry: Registry;
  readonly runner: () => Promise<RunnerState>;
  readonly witnessing?: Witnessing;
  readonly info: Omit<Info, 'checkpoint' | 'policy'>;
}

/** A statement about a digest, as evidence: what it claims to be is for the caller to verify from the bundle. */
export interface AboutAnswer extends Pick<Logged, 'digest' | 'logIndex' | 'time' | 'key' | 'bundle'> {
  readonly predicateType: string;
}

const mostReleases = 1000;
const witnessMs = 8_000;
const nameForm = /^[a-z0-9][a-z0-9-]{0,62}$/;

/** Routes that only look. Token and origin are checked by those who mount them, before any route. */
export function reads(app: Hono, options: ReadOptions): void {
  const { ledger, reader, info } = options;
  const status = statusReader(options);

  app.get('/api/v1/status', async (context) => {
    const policy = policyDigest(await ledger.policy());
    const { version, origin, environments } = info;
    return context.json({ version, origin, policy, environments, ...(await status()) } satisfies StatusAnswer);
  });
  app.get('/api/v1/witnessed', async (context) => {
    const [size, threshold] = ['size', 'threshold'].map((name) => Number(context.req.query(name) ?? 0)) as [number, number];
    if (!Number.isSafeInteger(size) || !Number.isSafeInteger(threshold) || size < 0 || threshold < 0) throw new CairnError('malformed-document', 'the request is malformed', { fix: 'Give size and threshold as numbers' });
    const { size: entries } = (await ledger.checkpoint()) ?? { size: 0 };
    // Nobody can have seen what is not there: not worth a wait.
    if (size <= entries) await options.witnessing?.covering(size, threshold, witnessMs);
    return context.json(await witnessAnswers(options.witnessing, entries));
  });
  app.get('/api/v1/runner', async (context) => context.json(await options.runner()));
  app.get('/api/v1/statements/:digest', async (context) => {
    const digest = parseDigest(context.req.param('digest'));
    const wanted = context.req.query('type');
    const found: AboutAnswer[] = [];
    for (const predicateType of Object.values(predicateTypes).filter((type) => wanted === undefined || type === wanted)) {
      for (const { digest: of, logIndex, time, key, bundle } of await ledger.about(digest, predicateType)) found.push({ digest: of, logIndex, time, key, bundle, predicateType });
    }
    return context.json(found.toSorted((a, b) => a.logIndex - b.logIndex));
  });
  app.get('/api/v1/revoked', async (context) => context.json(await ledger.revocations()));
  app.get('/api/v1/revocations', async (context) => {
    const { keys, packages } = await ledger.revocations();
    const about = [...new Set(keys.map(({ key }) => digestOf(Buffer.from(key, 'base64')))), ...new Set(packages.map(({ purl }) => digestOf(purl)))];
    const found: AboutAnswer[] = [];
    for (const digest of about) {
      for (const predicateType of [predicateTypes.keyRevocation, predicateTypes.packageRevocation]) {
        for (const { digest: of, logIndex, time, key, bundle } of await ledger.about(digest, predicateType)) found.push({ digest: of, logIndex, time, key, bundle, predicateType });
      }
    }
    return context.json(found.toSorted((a, b) => a.logIndex - b.logIndex));
  });
  app.get('/api/v1/releases', async (context) => {
    const application = context.req.query('application');
    const limit = Number(context.req.query('limit') ?? 100);
    if ((application !== undefined && !nameForm.test(application)) || !Number.isInteger(limit) || limit < 1 || limit > mostReleases) {
      throw new CairnError('malformed-document', 'the request is malformed', { fix: `Give a limit from 1 to ${mostReleases} and the name of an application` });
    }
    return context.json(await reader.releases(limit, application));
  });
}
