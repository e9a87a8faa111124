import { availableParallelism, loadavg } from 'node:os';
import { digestOf } from '#core';
import { predicateTypes, subjectOf } from '#attest';
import { Decisions, type Asking } from '../../src/release/decisions.ts';
import { application, governed, governedPolicy } from '../support/governed.ts';
import type { Report } from './bench.ts';

// One decision about a release with ten statements: from the cache; decided anew from evidence that is read from the ledger and compared
// with what was proven before; and with nothing proven yet, as after a start. In process, over the ledger's own file.

const statements = 10;
const targets = { cached: 1, uncached: 15 };
const packages = 200;

export async function decide(count: number, say: (line: string) => void): Promise<Report> {
  const closing: (() => unknown)[] = [];
  const rules = governedPolicy().environments[1]?.rules ?? [];
  const world = await governed({ after: (done) => void closing.push(done as () => unknown) }, governedPolicy({
    rules: [...rules, { kind: 'sbom', blocksRollback: true }, { kind: 'approvals', role: 'security', threshold: 1, blocksRollback: false }, { kind: 'soak', environment: 'staging', minutes: 0, blocksRollback: false }],
    freezes: [{ name: 'weekend', start: '2026-01-03T00:00', minutes: 2880, rule: 'FREQ=WEEKLY;BYDAY=SA', zone: 'Europe/Berlin' }],
  }));
  try {
    const release = await world.release('one', { packages: Array.from({ length: packages }, (_, at) => `pkg:npm/package-${at}@1.${at}.0`) });
    for (let at = 3; at < statements; at++) {
      const predicate = { application, environment: 'production', by: 'sue', expires: '2027-01-01T00:00:00Z', reason: `approval ${at}` };
      await world.say('sue', { predicateType: predicateTypes.approval, subject: [subjectOf(application, release)], predicate });
    }
    await world.promote(release, 'staging');
    const question: Asking = {
      release, content: digestOf('content'), environment: 'production', direction: 'promote', by: 'ada', schema: null, timeline: await world.ledger.timeline(application, 'production'), document: await world.document(release),
    };
    const warm = new Decisions(world.options);
    const { decision, evidence } = await warm.decide(question);
    if (!decision.passed || evidence.statements.length !== statements) throw new Error(`it weighs ${evidence.statements.length} statements, and ${decision.passed ? 'lets it in' : 'does not let it in'}`);
    say(`${count} decisions each`);
    const cached = await times(count * 10, () => warm.decide(question), ({ cached: from }) => from);
    const uncached = await times(count, () => {
      warm.clear();
      return warm.decide(question, { fresh: true });
    }, ({ cached: from }) => !from);
    const cold = await times(Math.max(20, Math.floor(count / 10)), () => new Decisions(world.options).decide(question), ({ cached: from }) => !from);
    const row = (name: string, { clock: all, cpu }: Times, target: number | null) => [name, String(all.length), ms(at(all, 0.5)), ms(at(all, 0.99)), ms(at(all, 1)), ms(cpu), target === null ? '' : `p99 < ${target} ms`];
    const missed = [
      ...(at(cached.clock, 0.99) < targets.cached ? [] : [`from the cache: p99 ${ms(at(cached.clock, 0.99))} (${ms(cached.cpu)} of CPU each, ${waiting()}), at most ${targets.cached} ms`]),
      ...(at(uncached.clock, 0.99) < targets.uncached ? [] : [`decided anew: p99 ${ms(at(uncached.clock, 0.99))} (${ms(uncached.cpu)} of CPU each, ${waiting()}), at most ${targets.uncached} ms`]),
    ];
    return {
      title: `One decision: ${statements} statements, a bill of ${packages} packages, ${rules.length + 3} rules and a freeze; ${waiting()}`,
      tables: [{ columns: ['decision', 'of', 'p50', 'p99', 'worst', 'CPU each', 'target'], rows: [row('from the cache', cached, targets.cached), row('decided anew, statements proven before', uncached, targets.uncached), row('nothing proven yet', cold, null)] }],
      figures: [
        { what: 'decision from the cache, p99', target: `< ${targets.cached} ms`, figure: ms(at(cached.clock, 0.99)), met: at(cached.clock, 0.99) < targets.cached },
        { what: 'decision anew, ten statements, p99', target: `< ${targets.uncached} ms`, figure: ms(at(uncached.clock, 0.99)), met: at(uncached.clock, 0.99) < targets.uncached },
      ],
      missed,
    };
  } finally {
    for (const close of closing) await close();
  }
}

/** By the clock, in order; and this thread's CPU for each, on average: where others want the same cores, that is what is about us. */
interface Times {
  readonly clock: readonly number[];
  readonly cpu: number;
}

async function times<T>(count: number, work: () => Promise<T>, right: (result: T) => boolean): Promise<Times> {
  const clock: number[] = [];
  const before = process.threadCpuUsage();
  for (let done = 0; done < count; done++) {
    const start = performance.now();
    const result = await work();
    clock.push(performance.now() - start);
    if (!right(result)) throw new Error('it was not decided in the way that is measured');
  }
  const { user, system } = process.threadCpuUsage(before);
  return { clock: clock.toSorted((a, b) => a - b), cpu: (user + system) / 1000 / count };
}

function waiting(): string {
  return `${(loadavg()[0] ?? 0).toFixed(1)} processes want ${availableParallelism()} cores`;
}

function at(sorted: readonly number[], quantile: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * quantile))] ?? Number.NaN;
}

function ms(value: number): string {
  return `${value.toFixed(value < 1 ? 3 : 2)} ms`;
}
