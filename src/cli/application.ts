import { buildApplication, buildCommand, buildRouteMap } from '@stricli/core';
import { jsonFlag } from './output.ts';
import { movingRoutes } from './routes-moving.ts';

// Every command is loaded when it is run: starting one must not pay for the others.

const json = { json: jsonFlag };
const text = (brief: string, placeholder: string) => ({ brief, placeholder, parse: String }) as const;
const positional = <const P extends readonly ReturnType<typeof text>[]>(...parameters: P) => ({ kind: 'tuple', parameters }) as const;

const routes = {
  init: buildCommand({ docs: { brief: 'Make keys, policy and trust, and write cairn.yaml' }, parameters: { flags: json }, loader: () => import('./init.ts').then((module) => module.init) }),
  up: buildCommand({ docs: { brief: 'Run the runner and the control server' }, parameters: { flags: {} }, loader: () => import('./up.ts').then((module) => module.up) }),
  release: buildCommand({ docs: { brief: 'Build the commit into a signed, logged release digest' }, parameters: { flags: json }, loader: () => import('./release.ts').then((module) => module.release) }),
  ...movingRoutes,
  status: buildCommand({ docs: { brief: 'What runs where, by digest' }, parameters: { flags: json }, loader: () => import('./status.ts').then((module) => module.status) }),
  verify: buildCommand({
    docs: { brief: 'Verify a release from its bytes: statements, signatures, log proofs' },
    parameters: { flags: json, positional: positional(text('Release digest or its first digits', 'digest')) },
    loader: () => import('./verify.ts').then((module) => module.verify),
  }),
  ledger: buildRouteMap({
    docs: { brief: 'The log and the index over it' },
    routes: {
      rebuild: buildCommand({ docs: { brief: 'Compute the index again from the log, and compare' }, parameters: { flags: json }, loader: () => import('./ledger.ts').then((module) => module.rebuild) }),
      export: buildCommand({
        docs: { brief: 'Write the log as static tiles, with its key and trusted root' },
        parameters: { flags: json, positional: positional(text('Folder to write', 'folder')) },
        loader: () => import('./ledger.ts').then((module) => module.exportTo),
      }),
    },
  }),
};

/** The command line of Cairn. */
export function application(version: string) {
  return buildApplication(buildRouteMap({ docs: { brief: 'Releases as immutable, signed, logged digests' }, routes }), {
    name: 'cairn',
    versionInfo: { currentVersion: version },
    scanner: { caseStyle: 'allow-kebab-for-camel' },
    determineExitCode: () => 1,
  });
}
