import { Agent, request as httpRequest } from 'node:http';
import { z } from 'zod';
import { CairnError } from '#core';
import * as protocol from './protocol.ts';

/** The runner, as the control server and `cairn rollback` see it. Errors are the runner's own; every call may be repeated. */
export interface RunnerClient {
  state(): Promise<protocol.StateAnswer>;
  prepare(request: protocol.PrepareRequest): Promise<protocol.PrepareAnswer>;
  probe(request: protocol.ProbeRequest): Promise<protocol.ProbeAnswer>;
  schema(request: protocol.SchemaRequest): Promise<protocol.SchemaAnswer>;
  switch(request: protocol.SwitchRequest): Promise<protocol.SwitchAnswer>;
  /** Answers when the watch has ended: as long as the switch said, and a little longer. */
  watch(request: protocol.WatchRequest): Promise<protocol.WatchAnswer>;
  traffic(request: protocol.TrafficRequest): Promise<protocol.TrafficAnswer>;
  plan(request: protocol.PlanRequest): Promise<void>;
  rollback(request: protocol.RollbackRequest): Promise<protocol.RollbackAnswer>;
  retire(request: protocol.RetireRequest): Promise<protocol.RetireAnswer>;
  /** Prometheus text, of gateway and runner. */
  metrics(): Promise<string>;
  /** Entries after the sequence number, at most a thousand a call. */
  journal(after: number): Promise<protocol.JournalAnswer>;
  close(): Promise<void>;
}

const answerMs = 30_000;
/** Applications take their time to start and to drain; each has deadlines of its own. */
const noLimit = 0;

/** Every method throws CairnError `unreachable` (retryable) where no runner answers. */
export function runnerClient(socketPath: string): RunnerClient {
  // No limit of connections: a switch must never stand in line behind applications that take long to start.
  const agent = new Agent({ keepAlive: true, maxFreeSockets: 16 });

  async function ask(path: string, request?: unknown, timeoutMs = answerMs): Promise<{ statusCode: number; text: string }> {
    return exchange({ socketPath, agent, path, timeout: timeoutMs }, request === undefined ? undefined : JSON.stringify(request)).catch((cause: unknown) => {
      throw new CairnError('unreachable', `no runner answers at ${socketPath}`, { fix: 'Start it with cairn up', cause, retryable: true });
    });
  }

  async function call<T extends z.ZodType>(path: string, answer: T, request?: unknown, timeoutMs = answerMs): Promise<z.infer<T>> {
    const { statusCode, text } = await ask(path, request, timeoutMs);
    const value = parse(text);
    if (statusCode === 200) {
      const result = answer.safeParse(value);
      if (result.success) return result.data;
    }
    throw failure(path, value);
  }

  function failure(path: string, value: unknown): CairnError {
    const failed = protocol.errorAnswer.safeParse(value);
    if (!failed.success) {
      return new CairnError('malformed-document', `the runner's answer to ${path} is not understood`, {
        fix: 'Use a server and a runner of one version of Cairn',
      });
    }
    const { code, message, fix, context } = failed.data.error;
    return new CairnError(code, message, { ...(fix !== null && { fix }), context, retryable: code === 'unreachable' });
  }

  return {
    state: () => call('/v1/state', protocol.stateAnswer),
    prepare: (request) => call('/v1/prepare', protocol.prepareAnswer, request, noLimit),
    probe: (request) => call('/v1/probe', protocol.probeAnswer, request),
    schema: (request) => call('/v1/schema', protocol.schemaAnswer, request, noLimit),
    switch: (request) => call('/v1/switch', protocol.switchAnswer, request),
    watch: (request) => call('/v1/watch', protocol.watchAnswer, request, noLimit),
    traffic: (request) => call('/v1/traffic', protocol.trafficAnswer, request),
    plan: async (request) => {
      await call('/v1/plan', protocol.planAnswer, request);
    },
    rollback: (request) => call('/v1/rollback', protocol.rollbackAnswer, request),
    retire: (request) => call('/v1/retire', protocol.retireAnswer, request, noLimit),
    metrics: async () => {
      const { statusCode, text } = await ask('/v1/metrics');
      if (statusCode === 200) return text;
      throw failure('/v1/metrics', parse(text));
    },
    journal: (after) => call(`/v1/journal?after=${after}`, protocol.journalAnswer),
    close: async () => agent.destroy(),
  };
}

function exchange(where: { socketPath: string; agent: Agent; path: string; timeout: number }, body: string | undefined): Promise<{ statusCode: number; text: string }> {
  return new Promise((resolve, reject) => {
    const headers = body === undefined ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) };
    const request = httpRequest({ ...where, method: body === undefined ? 'GET' : 'POST', headers }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('end', () => resolve({ statusCode: response.statusCode ?? 0, text: Buffer.concat(chunks).toString('utf8') }));
      // The runner's end in the middle of an answer.
      response.on('error', reject);
    });
    request.on('timeout', () => request.destroy(new Error('it did not answer in time')));
    request.on('error', reject);
    request.end(body);
  });
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
