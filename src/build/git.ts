import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { CairnError } from '#core';

const execute = promisify(execFile);

/** Asks git about the user's clone as the user would: their ignores and safe directories are theirs to choose. */
export function askGit(
  host: Readonly<Record<string, string | undefined>>,
  directory: string,
  parameters: readonly string[],
  more: Readonly<Record<string, string>> = {},
): Promise<string> {
  const { HOME = '/nonexistent', PATH = '/usr/bin:/bin' } = host;
  const own = Object.fromEntries(
    ['XDG_CONFIG_HOME', 'GIT_CONFIG_GLOBAL', 'GIT_CONFIG_NOSYSTEM'].flatMap((name) => (host[name] === undefined ? [] : [[name, host[name]] as const])),
  );
  return execute('git', [...parameters], {
    cwd: directory,
    env: { PATH, HOME, LANG: 'C.UTF-8', LC_ALL: 'C.UTF-8', GIT_TERMINAL_PROMPT: '0', GIT_OPTIONAL_LOCKS: '0', ...own, ...more },
    maxBuffer: 64 << 20,
  }).then(({ stdout }) => stdout, explain(parameters));
}

/**
 * Runs git with a scrubbed configuration: the user's and the machine's filters, hooks, aliases and line endings must not change
 * a byte of what is built.
 */
export function git(path: string, directory: string, parameters: readonly string[], more: Readonly<Record<string, string>> = {}): Promise<string> {
  const env = {
    PATH: path,
    LANG: 'C.UTF-8',
    LC_ALL: 'C.UTF-8',
    TZ: 'UTC',
    HOME: '/nonexistent',
    GIT_CONFIG_NOSYSTEM: '1',
    GIT_CONFIG_GLOBAL: '/dev/null',
    GIT_TERMINAL_PROMPT: '0',
    ...more,
  };
  // What it checks out has the same modes whatever our umask is.
  return execute('/bin/sh', ['-c', 'umask 022; exec git "$@"', 'git', ...parameters], { cwd: directory, env, maxBuffer: 64 << 20 }).then(
    ({ stdout }) => stdout,
    explain(parameters),
  );
}

function explain(parameters: readonly string[]): (cause: unknown) => never {
  return (cause) => {
    const { code, stderr = '' } = cause as { code?: string | number; stderr?: string };
    if (code === 'ENOENT' || code === 127) throw new CairnError('not-a-repository', 'git is not installed', { cause, fix: 'Install git' });
    if (/no space left on device/i.test(stderr))
      throw new CairnError('storage-full', `git found the disk full: ${stderr.trim().slice(0, 200)}`, { cause, fix: 'Free space' });
    if (/does not have any commits yet|unknown revision|bad revision/.test(stderr))
      throw new CairnError('not-a-repository', 'the repository has no commit yet', { cause, fix: 'git add . && git commit' });
    throw new CairnError('not-a-repository', `git ${parameters[0]} failed: ${stderr.trim().slice(0, 500)}`, {
      cause,
      fix: 'Run the command in a git repository with at least one commit',
    });
  };
}
