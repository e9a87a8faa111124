import { access, constants, realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { CairnError, digestOf, ensureDurableDirectory } from '#core';
import { unconfined, type Confined, type Limits } from './confined.ts';
import { Groups, type Group } from './groups.ts';
import { closedFolder } from './reachable.ts';
import { failsBecause } from './trial.ts';
import { Users } from './users.ts';
import { wrap } from './wrap.ts';

export interface Isolation {
  /** Each name runs as a user of its own. */
  readonly users: boolean;
  /** Memory and processors can be limited. */
  readonly limits: boolean;
  /** Why users or limits are missing; null where nothing is. */
  readonly reason: string | null;
  /**
   * One confinement, for one process. Who has the same name has the same user; join its parts with a dot where they may hold
   * dashes: `shop-eu` in `live` must not be `eu-live` of `shop`. @throws CairnError `storage`
   */
  confine(name: string, limits: Limits): Promise<Confined>;
  /**
   * Kills what runs in confinements of this home whose maker is gone, and returns their numbers: what a killed runner left. Where
   * limits are missing there is nothing to find it by.
   */
  killLeftovers(): Promise<number[]>;
}

export interface IsolationOptions {
  /** Keeps which name has which user. One a home. */
  readonly folder: string;
  /** Where confined commands must get to; users are off where other users may not enter it. */
  readonly mustReach?: string;
  /** Where the kernel's groups are mounted. */
  readonly groups?: string;
}

const nameForm = /^[a-z0-9][a-z0-9._-]{0,200}$/;

/** What this machine can do is tried once, with a command that says who it is: what isn't seen to work is not claimed. */
export async function openIsolation(options: IsolationOptions): Promise<Isolation> {
  await ensureDurableDirectory(options.folder, 0o700);
  const reasons: string[] = [];
  const missing = (what: string) => (error: unknown): undefined => {
    reasons.push(`${what}: ${(error as Error).message}`);
    return undefined;
  };
  let users = await openUsers(options).catch(missing('commands run as ourselves'));
  let groups = await openGroups(options).catch(missing('memory and processors are not limited'));
  if (groups !== undefined) {
    const why = await failsBecause(await confine(undefined, groups, 'trial', { memoryMb: 64, cpus: 1 }));
    if (why !== null) groups = missing('memory and processors are not limited')(new Error(why));
  }
  if (users !== undefined) {
    const why = await failsBecause(await confine(users, undefined, 'trial', unconfined.limits));
    if (why !== null) users = missing('commands run as ourselves')(new Error(why));
  }
  await groups?.sweep(false);
  return {
    users: users !== undefined,
    limits: groups !== undefined,
    reason: reasons.length === 0 ? null : reasons.join('; '),
    confine: (name, limits) => confine(users, groups, name, limits),
    killLeftovers: async () => (await groups?.sweep(true)) ?? [],
  };
}

async function openUsers({ folder, mustReach }: IsolationOptions): Promise<Users> {
  if (process.getuid?.() !== 0) throw new Error('only root can give them users of their own');
  const setpriv = await findSetpriv();
  if (setpriv === undefined) throw new Error('setpriv (util-linux) is not installed');
  const closed = mustReach === undefined ? null : await closedFolder(mustReach);
  if (closed !== null) throw new Error(`${closed} is closed to other users; set CAIRN_HOME=/var/lib/cairn`);
  return Users.open(join(folder, 'users'));
}

async function openGroups({ folder, groups = '/sys/fs/cgroup' }: IsolationOptions): Promise<Groups> {
  if (process.getuid?.() !== 0) throw new Error('only root can limit them');
  const home = digestOf(await realpath(folder)).slice(7, 15);
  return Groups.open(groups, home);
}

async function confine(users: Users | undefined, groups: Groups | undefined, name: string, limits: Limits): Promise<Confined> {
  if (!nameForm.test(name)) throw new CairnError('internal', `${JSON.stringify(name)} can't name a confinement`);
  const uid = (await users?.of(name)) ?? null;
  const setpriv = uid === null ? undefined : await findSetpriv();
  const group: Group | undefined = await groups?.make(name, limits);
  if (uid === null && group === undefined) return { ...unconfined, limits };
  return {
    uid,
    gid: uid,
    limits,
    limited: group !== undefined && (limits.memoryMb !== null || limits.cpus !== null),
    command: (program, args, variables) => wrap({ program, args, variables, joins: group?.joins ?? [], uid, setpriv }),
    memoryKills: async () => (await group?.memoryKills()) ?? 0,
    async close() {
      await group?.kill().catch(() => {});
      await group?.remove().catch(() => {});
    },
  };
}

async function findSetpriv(): Promise<string | undefined> {
  for (const path of ['/usr/bin/setpriv', '/bin/setpriv']) {
    if (await access(path, constants.X_OK).then(() => true, () => false)) return path;
  }
  return undefined;
}
