import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { CairnError } from '#core';

const execute = promisify(execFile);

/** Asks git about the user's clone as the user would: their ignores and safe directories are theirs to choose. */
export function askGit(host: Readonly<Record<string, string | undefined>>, directory: string, parameters: readonly string[]): Promise<string> {
  const { HOME = '/nonexistent', PATH = '/usr/bin:/bin' } = host;
  const own = Object.fromEntries(['XDG_CONFIG_HOME', 'GIT_CONFIG_GLOBAL', 'GIT_CONFIG_NOSYSTEM'].flatMap((name) => (host[name] === undefined ? [] : [[name, host[name]] as const])));
  return execute('git', [...parameters], { cwd: directory, env: { PATH, HOME, LANG: 'C.UTF-8', LC_ALL: 'C.UTF-8', GIT_TERMINAL_PROMPT: '0', GIT_OPTIONAL_LOCKS: '0', ...own }, maxBuffer: 64 << 20 }).then(({ stdout }) => stdout, explain(parameters));
}

/**
 * Runs git with a scrubbed configuration: the user's and the machine's filters, hooks, aliases and line endings must not change
 * a byte of what is built.
 */
export function git(path: string, directory: string, parameters: readonly string[], more: Readonly<Record<string, string>> = {}): Promise<string> {
  const env = { PATH: path, LANG: 'C.UTF-8', LC_ALL: 'C.UTF-8', TZ: 'UTC', HOME: '/nonexistent', GIT_CONFIG_NOSYSTEM: '1', GIT_CONFIG_GLOBAL: '/dev/null', GIT_TERMINAL_PROMPT: '0', ...more };
  return execute('git', [...parameters], { cwd: directory, env, maxBuffer: 64 << 20 }).then(({ stdout }) => stdout, explain(parameters));
}

function explain(parameters: readonly string[]): (cause: unknown) => never {
  return (cause) => {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') throw new CairnError('not-a-repository', 'git is not installed', { cause, fix: 'Install git' });
    const { stderr = '' } = cause as { stderr?: string };
    throw new CairnError('not-a-repository', `git ${parameters[0]} failed: ${stderr.trim().slice(0, 500)}`, { cause, fix: 'Run the command in a git repository with at least one commit' });
  };
}
