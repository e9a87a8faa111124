// runner: the data plane's process, which serves on whatever becomes of the control server, and the client that speaks to it.
// Imports core, gateway and targets.
export { runnerClient, type RunnerClient } from './client.ts';
export type { JournalEntry } from './journal-entry.ts';
export type {
  JournalAnswer,
  Launch,
  PrepareAnswer,
  PrepareRequest,
  ProbeAnswer,
  ProbeRequest,
  RetireAnswer,
  RetireRequest,
  StateAnswer,
  SwitchAnswer,
  SwitchRequest,
} from './protocol.ts';
export { startRunner, type Runner, type RunnerOptions } from './runner.ts';
