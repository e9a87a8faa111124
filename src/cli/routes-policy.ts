import { buildCommand, buildRouteMap } from '@stricli/core';
import { jsonFlag } from './output.ts';
import { text } from './parameters.ts';

// How the policy is read, tried and changed.

const json = { json: jsonFlag };
const yes = (brief: string) => ({ kind: 'boolean', brief, default: false, withNegated: false }) as const;
const said = (brief: string) => ({ kind: 'parsed', parse: String, brief, optional: true }) as const;
const file = { kind: 'tuple', parameters: [text('Policy, in YAML or JSON', 'file')] } as const;

export const policyRoutes = {
  policy: buildRouteMap({
    docs: { brief: 'Who may do what, and what each environment asks for' },
    routes: {
      show: buildCommand({
        docs: { brief: 'The policy in force, as its people signed it' },
        parameters: { flags: { ...json, yaml: yes('As a file to edit') } },
        loader: () => import('./policy.ts').then((module) => module.show),
      }),
      list: buildCommand({ docs: { brief: 'Versions, and proposals that wait for signatures' }, parameters: { flags: json }, loader: () => import('./policy.ts').then((module) => module.list) }),
      check: buildCommand({ docs: { brief: 'Find what is wrong with a policy before it is signed' }, parameters: { flags: json, positional: file }, loader: () => import('./policy.ts').then((module) => module.check) }),
      test: buildCommand({ docs: { brief: 'Decide the cases beside a policy (policy.test.yaml) by it' }, parameters: { flags: json, positional: file }, loader: () => import('./policy-test.ts').then((module) => module.test) }),
      propose: buildCommand({ docs: { brief: 'Sign a file as the next version' }, parameters: { flags: json, positional: file }, loader: () => import('./policy.ts').then((module) => module.propose) }),
      sign: buildCommand({
        docs: { brief: 'Sign a proposal; with the last signature of the quorum it is in force' },
        parameters: { flags: json, positional: { kind: 'tuple', parameters: [text('First digits of its digest', 'proposal')] } },
        loader: () => import('./policy.ts').then((module) => module.sign),
      }),
      replay: buildCommand({
        docs: { brief: 'Decide past decisions again: which would be others now' },
        parameters: { flags: { ...json, since: said('Only those since so long ago (10m, 2h, 30d), or since a time'), file: said('By this policy; otherwise by the one in force') } },
        loader: () => import('./policy-replay.ts').then((module) => module.replay),
      }),
    },
  }),
};
