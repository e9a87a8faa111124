import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { parsePredicate, type PredicateOf } from '#attest';
import type { Digest } from '#core';
import type { System } from './context.ts';
import { gatherKind, type Vouched } from './evidence.ts';
import type { Footing } from './footing.ts';
import type { Session } from './session.ts';

interface CommitLine {
  readonly commit: string;
  readonly subject: string;
}

export interface CommitDifference {
  /** Newest first. */
  readonly added: readonly CommitLine[];
  /** Those that the way back leaves out. */
  readonly removed: readonly CommitLine[];
  /** Who says so: the repository at hand, or the signed release notes; null where nobody knows the way between. */
  readonly from: 'git' | 'notes' | null;
}

export interface Side {
  readonly application: string;
  readonly release: Digest;
  readonly commit: string;
}

/** The commits between two releases. */
export async function commitsBetween(system: System, session: Session, footing: Footing, before: Side, after: Side): Promise<CommitDifference> {
  if (before.commit === after.commit) return { added: [], removed: [], from: 'git' };
  const [added, removed] = await Promise.all([gitLog(system, before.commit, after.commit), gitLog(system, after.commit, before.commit)]);
  if (added !== undefined && removed !== undefined) return { added, removed, from: 'git' };
  const forward = await notesBetween(session, footing, before, after);
  if (forward !== undefined) return { added: forward, removed: [], from: 'notes' };
  const back = await notesBetween(session, footing, after, before);
  return back === undefined ? { added: [], removed: [], from: null } : { added: [], removed: back, from: 'notes' };
}

/** Undefined where the repository at hand has not both. What it answers is shown to a person and decides nothing. */
async function gitLog({ directory, environment }: System, from: string, to: string): Promise<CommitLine[] | undefined> {
  const env = { PATH: environment['PATH'] ?? '/usr/bin:/bin', HOME: environment['HOME'] ?? '/nonexistent', LANG: 'C.UTF-8', LC_ALL: 'C.UTF-8', GIT_TERMINAL_PROMPT: '0', GIT_OPTIONAL_LOCKS: '0' };
  try {
    const { stdout } = await promisify(execFile)('git', ['log', '--format=%H%x00%s', `${from}..${to}`, '--'], { cwd: directory, env, maxBuffer: 64 << 20 });
    return stdout.split('\n').filter((line) => line !== '').map((line) => {
      const [commit = '', subject = ''] = line.split('\0');
      return { commit, subject };
    });
  } catch {
    return undefined;
  }
}

const mostSteps = 100;

/** Follows the release notes back, each naming the commit of the release before it. */
async function notesBetween(session: Session, footing: Footing, before: Side, after: Side): Promise<CommitLine[] | undefined> {
  const releases = await session.api.releases(1000, after.application);
  const found: CommitLine[] = [];
  let release: Digest | undefined = after.release;
  for (let step = 0; step < mostSteps && release !== undefined; step++) {
    const notes: Vouched | undefined = (await gatherKind(session, footing, release, 'notes')).at(-1);
    if (notes === undefined) return undefined;
    const { since, commits }: PredicateOf<'notes'> = parsePredicate('notes', notes.statement);
    found.push(...commits.map(({ commit, subject }) => ({ commit, subject })));
    if (since === before.commit) return found;
    release = releases.find(({ commit }) => commit === since)?.release;
  }
  return undefined;
}
