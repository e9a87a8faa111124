import type { Figure, Named, Report } from './bench.ts';

/** All that is promised about trust, one benchmark after another on a machine that does nothing else, and one table in which each promise stands beside its figure. */
export function trust(parts: readonly (readonly [string, Named | undefined])[], short: boolean, show: (report: Report) => void): Named {
  return {
    count: 1,
    run: async (_, say) => {
      const figures: Figure[] = [];
      const missed: string[] = [];
      for (const [name, part] of parts) {
        if (part === undefined) throw new Error(`there is no benchmark called ${name}`);
        say(`-- ${name}`);
        const report = await part.run(short ? (part.short ?? part.count) : part.count, say);
        show(report);
        figures.push(...(report.figures ?? []));
        missed.push(...report.missed.map((one) => `${name}: ${one}`));
      }
      return {
        title: `Trust, ${short ? 'short' : 'long'} forms, in one run`,
        tables: [{ columns: ['what', 'target', 'figure', 'met'], rows: figures.map(({ what, target, figure, met }) => [what, target, figure, met ? 'yes' : 'NO']) }],
        missed,
      };
    },
  };
}
