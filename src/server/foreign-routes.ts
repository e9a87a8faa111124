import type { Hono } from 'hono';
import { z } from 'zod';
import { CairnError, parseDigest } from '#core';
import { partsOf, type Registry } from '#release';
import type { Collector } from './collect.ts';
import type { StatementAnswer } from './contract.ts';

const form = z.discriminatedUnion('form', [
  z.strictObject({ form: z.literal('bundle'), bundle: z.string() }),
  z.strictObject({ form: z.literal('dsse'), envelope: z.string() }),
  z.strictObject({ form: z.literal('simplesigning'), payload: z.string(), signature: z.string(), certificate: z.string().nullable() }),
]);

/** What other tools signed: brought by somebody, or found beside the release in our own registry. Token and origin are checked before. */
export function foreignRoutes(app: Hono, { registry, collector }: { registry: Registry; collector: Collector }, body: (request: Request) => Promise<unknown>): void {
  const partsAt = async (application: string, digest: string) => {
    const release = parseDigest(digest);
    return partsOf(release, await registry.document(application, release));
  };
  app.post('/api/v1/foreign/:application/:digest', async (context) => {
    const { application, digest } = context.req.param();
    const parsed = form.safeParse(await body(context.req.raw));
    if (!parsed.success) throw new CairnError('malformed-document', `the request is malformed: ${z.prettifyError(parsed.error)}`);
    const logged = await collector.add(application, await partsAt(application, digest), parsed.data);
    return context.json({ digest: logged.digest, logIndex: logged.logIndex, bundle: logged.bundle } satisfies StatementAnswer, 201);
  });
  app.post('/api/v1/collect/:application/:digest', async (context) => {
    const { application, digest } = context.req.param();
    return context.json(await collector.collect(application, await partsAt(application, digest)));
  });
}
