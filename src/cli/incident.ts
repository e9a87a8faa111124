import { predicateTypes, subjectOf } from '#attest';
import { CairnError } from '#core';
import type { Incident } from '#release';
import type { Context, System } from './context.ts';
import { row, run, short, type CommonFlags } from './output.ts';
import { signedBy } from './revoke.ts';
import { openSession, ownSigner, persist, personName, type Session } from './session.ts';

/** Integrity discrepancies: what was found, who looks after it, how it ended. */
export async function list(this: Context, flags: CommonFlags & { all: boolean }): Promise<void> {
  await run(this, flags, async () => {
    const { api } = await openSession(this.system);
    const incidents = (await persist(this.system, () => api.incidents())).filter(({ resolution }) => flags.all || resolution === null);
    if (!flags.json) {
      if (incidents.length === 0) row(this, 'ok', 'incidents', flags.all ? 'none' : 'none is open');
      for (const one of incidents) printLine(this, one);
    }
    return { incidents };
  });
}

export async function show(this: Context, flags: CommonFlags, number: number): Promise<void> {
  await run(this, flags, async () => {
    const found = await find(this.system, await openSession(this.system), number);
    if (!flags.json) {
      printLine(this, found);
      row(this, 'what', found.what);
      row(this, 'since', new Date(found.time * 1000).toISOString(), `log entry ${found.logIndex}`);
      if (found.resolution === null) row(this, 'next', `cairn incident own ${number}; mend it; cairn incident resolve ${number} --resolution TEXT`, `promotions of ${short(found.release)} wait`);
      else row(this, 'resolved', found.resolution, `by ${found.resolvedBy}`);
    }
    return found;
  });
}

export async function own(this: Context, flags: CommonFlags, number: number): Promise<void> {
  await write(this, flags, number, null);
}

export async function resolve(this: Context, flags: CommonFlags & { resolution: string }, number: number): Promise<void> {
  await write(this, flags, number, flags.resolution);
}

async function write(context: Context, flags: CommonFlags, number: number, resolution: string | null): Promise<void> {
  await run(context, flags, async () => {
    const { system } = context;
    const session = await openSession(system);
    const found = await find(system, session, number);
    const by = personName(system);
    const owner = resolution === null ? by : (found.owner ?? by);
    const predicate = { incident: number, action: resolution === null ? 'own' : 'resolve', by, nonce: system.random(16), owner, resolution } as const;
    const signed = signedBy(await ownSigner(system, session.home), { predicateType: predicateTypes.resolution, subject: [subjectOf(found.application, found.release)], predicate });
    await persist(system, () => session.api.resolve(signed));
    if (!flags.json) row(context, resolution === null ? 'owned' : 'resolved', `incident ${number}, ${found.application} ${short(found.release)} in ${found.environment}`, resolution ?? `by ${owner}`);
    return { incident: number, action: predicate.action, owner, resolution };
  });
}

async function find(system: System, { api }: Session, number: number): Promise<Incident> {
  const found = (await persist(system, () => api.incidents())).find(({ logIndex }) => logIndex === number);
  if (found === undefined) throw new CairnError('not-found', `there is no incident ${number}`, { fix: 'cairn incident list --all' });
  return found;
}

function printLine(context: Context, { logIndex, application, environment, release, code, owner, resolution }: Incident): void {
  row(context, 'incident', `${logIndex} ${application} ${short(release)} in ${environment}`, code, resolution === null ? (owner === null ? 'nobody owns it' : `${owner} owns it`) : 'resolved');
}
