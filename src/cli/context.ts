import type { CommandContext } from '@stricli/core';
import type { Clock, Faults } from '#core';

/** What the composition root lends the commands: nothing here is reached for elsewhere. */
export interface System {
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly directory: string;
  readonly home: string;
  readonly version: string;
  readonly nodeBinary: string;
  readonly platform: string;
  readonly clock: Clock;
  /** Where a witness may be killed. */
  readonly faults: Faults;
  /** Random lower-case hex of `bytes` bytes. */
  random(bytes: number): string;
  /** Whether what is printed is read by a person on a terminal. */
  readonly colour: boolean;
  out(line: string): void;
  err(line: string): void;
  /** Shows a person a line that the next one takes the place of; null takes it away. Nothing where no terminal is. */
  showing(line: string | null): void;
  /** From its first call on, a signal to end (Ctrl-C, for one) aborts it instead of ending us: what was begun is undone first. */
  untilInterrupted(): AbortSignal;
  /** Asks on the terminal without echo; undefined where there is none. */
  askSecret(question: string): Promise<string | undefined>;
  /** All of standard input. */
  readInput(): Promise<string>;
  /** Runs runner and control server until they are told to stop. */
  up(): Promise<void>;
  /** A systemd unit that runs this Cairn on this home. */
  systemdUnit(): Promise<string>;
}

export interface Context extends CommandContext {
  readonly process: CommandContext['process'] & { exitCode?: number | string | null };
  readonly system: System;
}
