import { buildCommand, buildRouteMap, numberParser } from '@stricli/core';
import { jsonFlag } from './output.ts';
import { text } from './parameters.ts';

// The commands that look, prove and keep; none of them moves a release.

const json = { json: jsonFlag };
const yes = (brief: string) => ({ kind: 'boolean', brief, default: false, withNegated: false }) as const;
const positional = <const P extends readonly ReturnType<typeof text>[]>(...parameters: P) => ({ kind: 'tuple', parameters }) as const;
const said = (brief: string) => ({ kind: 'parsed', parse: String, brief, optional: true }) as const;
const reference = text('Digest or its first digits, production, production~1, production:17', 'reference');

export const lookingRoutes = {
  status: buildCommand({
    docs: { brief: 'What runs where, by digest' },
    parameters: { flags: { ...json, watch: yes('Show it again whenever it changes') } },
    loader: () => import('./status.ts').then((module) => module.status),
  }),
  verify: buildCommand({
    docs: { brief: 'Verify a release from its bytes: statements, signatures, log proofs; or a capsule, with nothing else at hand' },
    parameters: {
      flags: { ...json, capsule: said('File that cairn audit --capsule wrote, in the place of a release'), trust: said('cairn.trust.json to hold a capsule to; otherwise the one at hand'), sigstoreRoot: said('Root of Sigstore to hold to what other tools signed; otherwise the one that Cairn ships'), trustCapsule: yes('Take the trust that the capsule brings along: as good as where you got it') },
      positional: { kind: 'tuple', parameters: [{ ...reference, optional: true }] },
    },
    loader: () => import('./verify.ts').then((module) => module.verify),
  }),
  show: buildCommand({
    docs: { brief: 'A release: components, layers, packages, evidence, where it ran' },
    parameters: { flags: json, positional: positional(reference) },
    loader: () => import('./show.ts').then((module) => module.show),
  }),
  trace: buildCommand({
    docs: { brief: 'From a running process back to its commit, and who vouched for it' },
    parameters: {
      flags: { ...json, pid: { kind: 'parsed', parse: numberParser, brief: 'A process, instead of an environment', optional: true } },
      positional: { kind: 'tuple', parameters: [{ ...text('Environment, or APPLICATION/ENVIRONMENT', 'environment'), optional: true }] },
    },
    loader: () => import('./trace.ts').then((module) => module.trace),
  }),
  diff: buildCommand({
    docs: { brief: 'What differs between two releases: commits, packages, settings, files, evidence' },
    parameters: { flags: json, positional: positional(reference, reference) },
    loader: () => import('./diff.ts').then((module) => module.diff),
  }),
  logs: buildCommand({
    docs: { brief: 'What an application printed, with the digest of what printed it' },
    parameters: {
      flags: {
        ...json,
        component: said('Only of this component'),
        release: said('Only of the release whose digest begins so'),
        since: said('Only from so long ago (10m, 2h), or from a time'),
        lines: { kind: 'parsed', parse: numberParser, brief: 'The last so many lines', default: '100' },
        follow: yes('Go on with what is printed from now on'),
      },
      aliases: { n: 'lines', f: 'follow' },
      positional: positional(text('Environment, or APPLICATION/ENVIRONMENT', 'environment')),
    },
    loader: () => import('./logs.ts').then((module) => module.logs),
  }),
  audit: buildCommand({
    docs: { brief: 'Check everything from its bytes: log, signatures, index, blobs, journal; or write what others need to decide again' },
    parameters: { flags: { ...json, capsule: said('File to write: one release with evidence, proofs, policy and verdicts') }, positional: { kind: 'tuple', parameters: [{ ...reference, optional: true }] } },
    loader: () => import('./audit.ts').then((module) => module.audit),
  }),
  backup: buildCommand({
    docs: { brief: 'Write all of this home to one file, at one point of the log, while it runs' },
    parameters: { flags: { ...json, data: yes('Take data folders of applications along') }, positional: positional(text('File to write', 'file')) },
    loader: () => import('./backup.ts').then((module) => module.backup),
  }),
  restore: buildCommand({
    docs: { brief: 'Make a home from a backup, and check it' },
    parameters: { flags: { ...json, home: said('Folder to make; otherwise the one that commands use') }, positional: positional(text('File that cairn backup wrote', 'file')) },
    loader: () => import('./restore.ts').then((module) => module.restore),
  }),
  gc: buildCommand({
    docs: { brief: 'Remove what nothing returns to' },
    parameters: { flags: { ...json, dryRun: yes('Only say what would go') } },
    loader: () => import('./gc.ts').then((module) => module.gc),
  }),
  completion: buildCommand({
    docs: { brief: 'Print what has a shell complete commands, environments and digests' },
    parameters: { flags: {}, positional: positional(text('bash, zsh or fish', 'shell')) },
    loader: () => import('./completion.ts').then((module) => module.completion),
  }),
  ledger: buildRouteMap({
    docs: { brief: 'The log and the index over it' },
    routes: {
      rebuild: buildCommand({ docs: { brief: 'Compute the index again from the log, and compare' }, parameters: { flags: json }, loader: () => import('./ledger.ts').then((module) => module.rebuild) }),
      prove: buildCommand({
        docs: { brief: 'That an entry is in the log, as a text that checks offline' },
        parameters: {
          flags: { ...json, check: said('File with a proof to check, with nothing but the trust file') },
          positional: { kind: 'tuple', parameters: [{ ...text('Number of the entry, or the digest of a statement', 'entry'), optional: true }] },
        },
        loader: () => import('./ledger-prove.ts').then((module) => module.prove),
      }),
      evidence: buildCommand({
        docs: { brief: 'What is kept of a log or a witness that showed two histories, and what it proves' },
        parameters: { flags: json, positional: { kind: 'tuple', parameters: [{ ...text('File to check, with nothing but the trust file', 'file'), optional: true }] } },
        loader: () => import('./ledger-evidence.ts').then((module) => module.evidence),
      }),
      export: buildCommand({
        docs: { brief: 'Write the log as static tiles, with its key and trusted root' },
        parameters: { flags: json, positional: positional(text('Folder to write', 'folder')) },
        loader: () => import('./ledger.ts').then((module) => module.exportTo),
      }),
    },
  }),
};
