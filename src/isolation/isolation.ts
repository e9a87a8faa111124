export interface Limits {
  readonly memoryMb: number | null;
  readonly cpus: number | null;
}

/** One name's confinement. `uid` and `gid` are null where commands run as ourselves. */
export interface Confined {
  readonly uid: number | null;
  readonly gid: number | null;
  /** Whether memory and CPU limits are really enforced. */
  readonly limited: boolean;
  /** What to spawn, so that the command starts under its limits. */
  command(program: string, args: readonly string[]): { readonly file: string; readonly args: readonly string[] };
  close(): Promise<void>;
}

export interface Isolation {
  readonly users: boolean;
  readonly limits: boolean;
  /** Why users or limits are missing; null where nothing is. */
  readonly reason: string | null;
  confine(name: string, limits: Limits): Promise<Confined>;
}
