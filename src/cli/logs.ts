import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { CairnError } from '#core';
import { openHome, type Home } from '#home';
import { readLogs, type LogLine } from '#targets';
import type { Context, System } from './context.ts';
import { run, type CommonFlags } from './output.ts';
import { readDefinition } from './session.ts';
import { timeAgo } from './time-ago.ts';

export interface LogFlags extends CommonFlags {
  readonly component?: string;
  readonly release?: string;
  readonly since?: string;
  readonly lines: number;
  readonly follow: boolean;
}

/** What an application printed, read from its file: with the control server away too. With --json each line is as it is stored. */
export async function logs(this: Context, flags: LogFlags, place: string): Promise<void> {
  await run(this, flags, async () => {
    const { system } = this;
    const path = await pathOf(system, await openHome(system.home), place);
    const print = (line: LogLine) => system.out(flags.json ? JSON.stringify(line) : `${line.time} ${line.component} ${line.pid} ${line.release.slice(7, 19)} ${line.line}`);
    const fits = filterOf(flags);
    const since = flags.since === undefined ? undefined : timeAgo(flags.since, system.clock.now());
    // What is there now is counted from its end; what comes from now on is all shown. Between the two no line is missed or told twice.
    const now = system.clock.now();
    const last: LogLine[] = [];
    for await (const line of readLogs(path, since === undefined ? {} : { since })) {
      if (!fits(line) || (flags.follow && line.time >= now.toISOString())) continue;
      last.push(line);
      if (last.length > flags.lines) last.shift();
    }
    last.forEach(print);
    if (!flags.follow) return;
    for await (const line of readLogs(path, { since: now, follow: true })) if (fits(line)) print(line);
  });
}

function filterOf({ component, release }: LogFlags): (line: LogLine) => boolean {
  const prefix = release?.replace(/^.*@/, '').replace(/^sha256:/, '');
  if (prefix !== undefined && !/^[0-9a-f]{4,64}$/.test(prefix)) throw new CairnError('unknown-reference', `"${release}" is no digest`, { fix: 'Give at least four of its first digits' });
  return (line) => (component === undefined || line.component === component) && (prefix === undefined || line.release.slice(7).startsWith(prefix));
}

/** `production`, or `shop/production` where several applications print and none is at hand. */
async function pathOf(system: System, { paths, settings }: Home, place: string): Promise<string> {
  const [environment = '', named, more] = place.split('/').toReversed();
  if (more !== undefined || !settings.environments.some(({ name }) => name === environment)) {
    throw new CairnError('unknown-environment', `there is no environment "${environment}"`, { fix: `Use one of: ${settings.environments.map(({ name }) => name).join(', ')}` });
  }
  const printed: string[] = [];
  for (const application of await readdir(paths.logs).catch(() => [])) {
    if ((await readdir(join(paths.logs, application)).catch((): string[] => [])).includes(`${environment}.jsonl`)) printed.push(application);
  }
  const [only, other] = printed;
  const wanted: string | undefined = named ?? (await readDefinition(system).then(({ application }) => application, () => undefined)) ?? (other === undefined ? only : undefined);
  if (wanted !== undefined && printed.includes(wanted)) return join(paths.logs, wanted, `${environment}.jsonl`);
  if (wanted === undefined && printed.length > 1) throw new CairnError('ambiguous-reference', `${printed.join(', ')} run in ${environment}`, { fix: `cairn logs ${printed[0]}/${environment}` });
  throw new CairnError('not-found', wanted === undefined ? `nothing was printed in ${environment} yet` : `${wanted} has printed nothing in ${environment}`, { fix: printed.length > 0 ? `cairn logs ${printed[0]}/${environment}` : `cairn promote DIGEST ${environment}` });
}
