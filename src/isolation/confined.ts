export interface Limits {
  /** Of all processes of the confinement together, swap included. null: not limited. */
  readonly memoryMb: number | null;
  /** Processors' worth of time; 0.5 is half of one. null: not limited. */
  readonly cpus: number | null;
}

/** What to give to `spawn`, all three, without `uid` or `gid`: the user is changed inside. */
export interface Command {
  readonly file: string;
  readonly args: readonly string[];
  /** The whole environment to spawn with. It is not the program's: it carries the program's past what still runs as root. */
  readonly env: Readonly<Record<string, string>>;
}

/**
 * One run's confinement: made for one process and what that starts, closed when it is gone. Two instances that share one would
 * share their limits too.
 */
export interface Confined {
  /** Who owns the folders that the command may write to: `chown` them. null: commands run as ourselves, and so do folders. */
  readonly uid: number | null;
  readonly gid: number | null;
  readonly limits: Limits;
  /** True where a limit was asked for and every one asked for is enforced by the kernel. */
  readonly limited: boolean;
  /**
   * The command under its user and limits. The process keeps its number and its folder all the way to the program. The program is
   * looked for in the PATH of `variables`, as its user; one that is not found ends with 127, one that can't be run with 126.
   * @throws CairnError `invalid-configuration` for a variable's name that no shell can carry
   */
  command(program: string, args: readonly string[], variables: Readonly<Record<string, string>>): Command;
  /** How many processes the kernel killed here for passing the memory limit. 0 where there is none. */
  memoryKills(): Promise<number>;
  /** Kills whatever still runs inside, also what left its process group, and removes the kernel's group. Never rejects. */
  close(): Promise<void>;
}

/** As ourselves, without limits: for where nothing is confined. */
export const unconfined: Confined = Object.freeze({
  uid: null,
  gid: null,
  limits: { memoryMb: null, cpus: null },
  limited: false,
  command: (file, args, variables) => ({ file, args, env: variables }),
  memoryKills: async () => 0,
  close: async () => {},
} satisfies Confined);
