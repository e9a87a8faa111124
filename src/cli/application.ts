import { buildApplication, buildCommand, buildRouteMap } from '@stricli/core';
import { jsonFlag } from './output.ts';
import { lookingRoutes } from './routes-looking.ts';
import { movingRoutes } from './routes-moving.ts';

// Every command is loaded when it is run: starting one must not pay for the others.

const json = { json: jsonFlag };

const routes = {
  init: buildCommand({ docs: { brief: 'Make keys, policy and trust, and write cairn.yaml' }, parameters: { flags: json }, loader: () => import('./init.ts').then((module) => module.init) }),
  up: buildCommand({ docs: { brief: 'Run the runner and the control server' }, parameters: { flags: {} }, loader: () => import('./up.ts').then((module) => module.up) }),
  release: buildCommand({
    docs: { brief: 'Build the commit into a signed, logged release digest' },
    parameters: { flags: { ...json, dirty: { kind: 'boolean', brief: 'Build the tree as it is, changes and all; the provenance says so, and production refuses it', optional: true, withNegated: false } } },
    loader: () => import('./release.ts').then((module) => module.release),
  }),
  ...movingRoutes,
  ...lookingRoutes,
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
