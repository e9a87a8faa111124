// runner: the data plane's process, which serves on whatever becomes of the control server, and the client that speaks to it.
// Imports core, gateway, isolation and targets.
export { runnerClient, type RunnerClient } from './client.ts';
export type { JournalEntry } from './journal-entry.ts';
export type {
  JournalAnswer,
  Launch,
  LaunchComponent,
  PlanRequest,
  PrepareAnswer,
  PrepareRequest,
  ProbeAnswer,
  ProbeRequest,
  RetireAnswer,
  RetireRequest,
  RollbackAnswer,
  RollbackRequest,
  SchemaAnswer,
  SchemaRequest,
  StateAnswer,
  SwitchAnswer,
  SwitchRequest,
  TrafficAnswer,
  TrafficRequest,
  WatchAnswer,
  WatchRequest,
  Way,
} from './protocol.ts';
export type { Runner, RunnerEnvironment, RunnerOptions } from './runner.ts';
export { startRunner } from './start.ts';
