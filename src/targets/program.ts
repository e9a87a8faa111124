import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { CairnError, exists, type Clock, type Digest } from '#core';
import type { Confined } from '#isolation';
import { LogLines, type LineOrigin, type Place } from './log-lines.ts';
import type { LogLimits } from './log-file.ts';
import { checkRuntime, type Runtime } from './runtime-digest.ts';

/** What to run, as whom, and where its output goes. */
export interface Program {
  /** The composed content; the process works in its `app` folder where there is one. */
  readonly directory: string;
  readonly command: readonly string[];
  /** All of its environment but HOME, PORT and HOST: nothing of our own is inherited, since that would let a digest run differently on two machines. */
  readonly variables: Readonly<Record<string, string>>;
  /** Made for this process, and closed when it is gone or could not be started. */
  readonly confined: Confined;
  /** Its HOME, made by the caller for the confined user. */
  readonly home: string;
  readonly runtime: Runtime | null;
  readonly logFile: string;
  readonly logLimits?: LogLimits;
  readonly place: Place;
  readonly release: Digest;
  readonly content: Digest;
  readonly clock: Clock;
  /** Called, and waited for, as soon as there is a process: to record it. If it throws, the process is stopped. */
  readonly spawned?: (pid: number) => Promise<void>;
  /** Stops the process before its time: an instance while it comes up, a run at any time. */
  readonly signal?: AbortSignal;
}

export interface Exit {
  readonly code: number | null;
  readonly signal: string | null;
  /** For people, to follow a noun: `ended with 3`, `was killed, probably by its memory limit of 64 MB`. */
  readonly how: string;
}

export interface Running {
  readonly pid: number;
  readonly log: LogLines;
  /** When the process is gone, its children are stopped and its log is written. Never rejects. */
  readonly exited: Promise<Exit>;
  /** To the process and all its children, while it lives. */
  kill(signal: NodeJS.Signals): void;
}

/** @throws CairnError `digest-mismatch`; `unhealthy` where there is no such program */
export async function launch(program: Program, more: Readonly<Record<string, string>>, seen?: (chunk: Buffer) => void): Promise<Running> {
  const { directory, command, confined, runtime, place, release, content } = program;
  const log = new LogLines(program.logFile, program.clock, program.logLimits);
  try {
    if (runtime !== null) await checkRuntime(directory, runtime);
    const application = join(directory, 'app');
    const [name = '', ...args] = command;
    const confinedCommand = confined.command(name, args, { ...program.variables, HOME: program.home, ...more });
    const child = spawn(confinedCommand.file, confinedCommand.args, {
      cwd: (await exists(application)) ? application : directory,
      env: confinedCommand.env,
      stdio: ['ignore', 'pipe', 'pipe'],
      // A session and group of its own: a signal to the group reaches what the process started too, and one to our terminal does not.
      detached: true,
    });
    await untilSpawned(child, command);
    const pid = child.pid as number;
    const kill = (signal: NodeJS.Signals): void => {
      // Never once the process was reaped: its number may be another's by then.
      if (child.exitCode === null && child.signalCode === null) killGroup(pid, signal);
    };
    return { pid, log, exited: gone(child, log, confined, { ...place, release, content, pid }, seen), kill };
  } catch (error) {
    await Promise.all([log.close(), confined.close()]);
    throw error;
  }
}

async function untilSpawned(child: ChildProcess, command: readonly string[]): Promise<void> {
  await once(child, 'spawn').catch((cause: Error) => {
    throw new CairnError('unhealthy', `${command[0] ?? ''} can't be started: ${cause.message}`, {
      fix: 'Check the command of the component; its PATH is what its configuration gives, nothing is inherited',
      context: { command, lines: [] },
      cause,
    });
  });
}

async function gone(child: ChildProcess, log: LogLines, confined: Confined, origin: LineOrigin, seen?: (chunk: Buffer) => void): Promise<Exit> {
  const following = Promise.all([
    log.follow('stdout', child.stdout as NonNullable<typeof child.stdout>, origin, seen),
    log.follow('stderr', child.stderr as NonNullable<typeof child.stderr>, origin),
  ]);
  const [code, signal] = (await once(child, 'exit')) as [number | null, string | null];
  // Children that outlive the process would hold its port and its log open. The group's number can't be another's while they live.
  killGroup(origin.pid, 'SIGKILL');
  const how = describe(code, signal, (await confined.memoryKills()) > 0 ? confined.limits.memoryMb : null);
  await confined.close();
  // One that left both groups may still hold the pipes: its output is not waited for.
  const impatience = setTimeout(() => {
    child.stdout?.destroy();
    child.stderr?.destroy();
  }, 1_000);
  await following;
  clearTimeout(impatience);
  await log.close().catch(() => {});
  return { code, signal, how };
}

function describe(code: number | null, signal: string | null, memoryMb: number | null): string {
  if (memoryMb !== null && signal === 'SIGKILL') return `was killed, probably by its memory limit of ${memoryMb} MB`;
  const memory = memoryMb === null ? '' : `, after a process of it was killed by the memory limit of ${memoryMb} MB`;
  if (signal !== null) return `ended with ${signal}${memory}`;
  // As shells say it.
  const meaning = { 125: 'which says that it could not be confined', 126: 'which says that its program can not be run', 127: 'which says that there is no such program' }[code ?? 0];
  return `ended with ${code}${meaning === undefined ? '' : `, ${meaning}`}${memory}`;
}

function killGroup(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH' && (error as NodeJS.ErrnoException).code !== 'EPERM') throw error;
  }
}
