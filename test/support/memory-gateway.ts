import type { Gateway } from '#release';
import type { RunnerState } from '#server';

/** The data plane without processes: it remembers what it was told. */
export function memoryGateway(): { gateway: Gateway; state: () => RunnerState } {
  const live = new Map<string, RunnerState['timelines'][number]>();
  let sequence = 0;
  const key = ({ application: of, environment }: { application: string; environment: string }) => `${environment}/${of}`;
  const gateway: Gateway = {
    prepare: async () => ({ warm: false, healthy: 1, milliseconds: 1 }),
    probe: async () => ({ healthy: true }),
    schema: async () => ({ version: null }),
    switch: async (request) => {
      const { application: of, environment, content, release, revision, share } = request;
      const before = live.get(key(request));
      const instance = { component: 'web', content, release, pid: process.pid, port: 1, healthy: true, restarts: 0 };
      live.set(key(request), {
        application: of, environment, live: { content, release, revision, share }, former: null, ready: [...new Set([...(before?.ready ?? []), content])], instances: [instance],
        counts: { [content]: { requests: 7, errors: 0 } },
      });
      return { sequence: ++sequence, from: before?.live?.content ?? null, to: content, milliseconds: 1 };
    },
    watch: async () => ({ state: 'held', sequence: null, reason: null }),
    traffic: async () => {},
    live: async (spot) => live.get(key(spot))?.live ?? null,
    plan: async () => {},
    retire: async (request) => {
      const now = live.get(key(request));
      if (now !== undefined) live.set(key(request), { ...now, ready: now.ready.filter((one) => one !== request.content) });
    },
    switches: async () => [],
  };
  return { gateway, state: () => ({ timelines: [...live.values()], sequence, pid: process.pid, isolation: { users: false, limits: false, reason: 'nothing runs' } }) };
}
