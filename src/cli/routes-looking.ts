import { buildCommand, buildRouteMap } from '@stricli/core';
import { jsonFlag } from './output.ts';

// The commands that look, prove and keep; none of them moves a release.

const json = { json: jsonFlag };
const yes = (brief: string) => ({ kind: 'boolean', brief, default: false, withNegated: false }) as const;
const text = (brief: string, placeholder: string) => ({ brief, placeholder, parse: String }) as const;
const positional = <const P extends readonly ReturnType<typeof text>[]>(...parameters: P) => ({ kind: 'tuple', parameters }) as const;

export const lookingRoutes = {
  status: buildCommand({
    docs: { brief: 'What runs where, by digest' },
    parameters: { flags: { ...json, watch: yes('Show it again whenever it changes') } },
    loader: () => import('./status.ts').then((module) => module.status),
  }),
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
