import type { Standing } from './standing.ts';
import type { TimelineName } from './words.ts';

/** Upper bounds in milliseconds. A switch is one durable line and one swap. */
const bounds = [1, 2, 5, 10, 20, 50, 100, 250, 1_000];

interface Histogram {
  readonly counts: number[];
  count: number;
  sum: number;
}

/** What the runner counts itself; the gateway counts requests. */
export class Metrics {
  readonly #switches = new Map<string, Histogram>();
  readonly #reverts = new Map<string, number>();
  readonly #crons = new Map<string, number>();

  switched(environment: string, milliseconds: number): void {
    let histogram = this.#switches.get(environment);
    if (histogram === undefined) this.#switches.set(environment, (histogram = { counts: bounds.map(() => 0), count: 0, sum: 0 }));
    for (const [i, bound] of bounds.entries()) if (milliseconds <= bound) histogram.counts[i] = (histogram.counts[i] as number) + 1;
    histogram.count++;
    histogram.sum += milliseconds;
  }

  reverted({ environment, application }: TimelineName, outcome: 'reverted' | 'stopped'): void {
    add(this.#reverts, labels({ environment, application, outcome }));
  }

  cron({ environment, application }: TimelineName, component: string, ok: boolean): void {
    add(this.#crons, labels({ environment, application, component, outcome: ok ? 'ok' : 'failed' }));
  }

  /** Prometheus text. */
  text(standing: readonly Standing[]): string {
    const parts = standing.flatMap(({ stored, parts: replicas }) =>
      replicas.map((one) => ({ one, of: labels({ environment: stored.environment, application: stored.application, component: one.component.name, release: stored.release, content: stored.content }) })),
    );
    return [
      ...family('cairn_instances', 'gauge', 'Instances that run, live or warm.', parts.map(({ one, of }) => `${of} ${one.healthy}`)),
      ...family('cairn_instances_wanted', 'gauge', 'Instances that should run.', parts.map(({ one, of }) => `${of} ${one.component.instances}`)),
      ...family('cairn_instance_exits_total', 'counter', 'Instances that ended, or did not start, without being told to, since the content was started.', parts.map(({ one, of }) => `${of} ${one.exits}`)),
      ...family('cairn_reverts_total', 'counter', 'Promotions that failed their watch: reverted, or stopped for want of a way back.', counted(this.#reverts)),
      ...family('cairn_cron_runs_total', 'counter', 'Runs of crons that ended.', counted(this.#crons)),
      ...this.#histograms(),
    ].map((line) => `${line}\n`).join('');
  }

  #histograms(): string[] {
    const name = 'cairn_switch_milliseconds';
    const lines = [...this.#switches].flatMap(([environment, { counts, count, sum }]) => [
      ...bounds.map((bound, i) => `${name}_bucket${labels({ environment, le: String(bound) })} ${counts[i]}`),
      `${name}_bucket${labels({ environment, le: '+Inf' })} ${count}`,
      `${name}_sum${labels({ environment })} ${sum}`,
      `${name}_count${labels({ environment })} ${count}`,
    ]);
    return lines.length === 0 ? [] : [...head(name, 'histogram', 'From the request to switch until no new request reaches the old side.'), ...lines];
  }
}

function add(counts: Map<string, number>, key: string): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}

function counted(counts: ReadonlyMap<string, number>): string[] {
  return [...counts].map(([of, count]) => `${of} ${count}`);
}

function family(name: string, type: string, help: string, samples: readonly string[]): string[] {
  return samples.length === 0 ? [] : [...head(name, type, help), ...samples.map((sample) => name + sample)];
}

function head(name: string, type: string, help: string): string[] {
  return [`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`];
}

/** Names and digests only: nothing in them needs to be escaped. */
function labels(values: Readonly<Record<string, string>>): string {
  return `{${Object.entries(values).map(([name, value]) => `${name}="${value}"`).join(',')}}`;
}
