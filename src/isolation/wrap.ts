import { CairnError } from '#core';
import type { Command } from './confined.ts';

export interface Wrapped {
  readonly program: string;
  readonly args: readonly string[];
  readonly variables: Readonly<Record<string, string>>;
  /** The groups' files. */
  readonly joins: readonly string[];
  readonly uid: number | null;
  readonly setpriv: string | undefined;
}

/** Open files: plenty, and not the millions that a process manager may have given us, through which some programs loop at their start. */
const openFiles = 65_536;
const carrier = 'cairn_carried_';

/**
 * Two shells, each of which becomes the next program, so that the process keeps its number. The first one is root: it joins the
 * groups, before anything else can be started, sets what stays with the process and changes the user for good. The second one is
 * that user already: it gives the program its variables. They are carried past the first under names that mean nothing to anybody:
 * whoever may set an application's LD_PRELOAD would otherwise have its code run as root.
 */
export function wrap({ program, args, variables, joins, uid, setpriv }: Wrapped): Command {
  const join = joins.map((path) => `echo 0 >${quoted(path)} || exit 125; `).join('');
  const change = uid === null || setpriv === undefined ? '' : `${quoted(setpriv)} --reuid=${uid} --regid=${uid} --clear-groups --inh-caps=-all --no-new-privs -- `;
  // A core would hold the application's secrets.
  const first = `${join}umask 022; ulimit -c 0; ulimit -n ${openFiles} 2>/dev/null; exec ${change}/bin/sh -c "$0" cairn "$@"`;
  const names = Object.keys(variables);
  const give = names.map((name, i) => `export ${checked(name)}="$${carrier}${i}"; unset ${carrier}${i}; `).join('');
  // Shells give what they start the folder's name; nobody asked for it.
  const second = `unset PWD OLDPWD; ${give}exec "$@"`;
  return {
    file: '/bin/sh',
    args: ['-c', first, second, program, ...args],
    env: Object.fromEntries(names.map((name, i) => [`${carrier}${i}`, variables[name] ?? ''])),
  };
}

function checked(name: string): string {
  if (/^[A-Za-z_][A-Za-z0-9_]*$/.test(name) && !name.startsWith(carrier)) return name;
  throw new CairnError('invalid-configuration', `${JSON.stringify(name.slice(0, 100))} can't name a variable of a process that has a user or limits of its own`, {
    fix: 'Name it with letters, digits and underscores',
  });
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
