import { buildCommand, buildRouteMap, numberParser } from '@stricli/core';
import { jsonFlag } from './output.ts';
import { text } from './parameters.ts';

// The commands by which several people take back, let past, and account for.

const json = { json: jsonFlag };
const because = { reason: { kind: 'parsed', parse: String, brief: 'Why, for the record' } } as const;
const said = (brief: string) => ({ kind: 'parsed', parse: String, brief, optional: true }) as const;
const yes = (brief: string) => ({ kind: 'boolean', brief, default: false, withNegated: false }) as const;
const positional = <const P extends readonly { brief: string; placeholder: string; parse: (input: string) => unknown }[]>(...parameters: P) => ({ kind: 'tuple', parameters }) as const;
const digest = text('Release digest or its first digits', 'digest');
const environment = text('Environment', 'environment');
const incident = { brief: 'Number of the incident: its log entry', placeholder: 'number', parse: numberParser } as const;

export const governingRoutes = {
  revoke: buildCommand({
    docs: { brief: 'Let a release, a key or a package count for nothing any more, for ever' },
    parameters: {
      flags: {
        ...json, ...because,
        key: said('A .pub file, a person (all their keys) or a base64 key, instead of a release'),
        package: said('A package URL, with or without a version, instead of a release'),
        after: { kind: 'parsed', parse: numberParser, brief: 'With --key: what it signed up to this log entry still counts', optional: true },
        lockOut: yes('With --key: though nobody is left who could revoke, promote or change the policy'),
      },
      positional: { kind: 'tuple', parameters: [{ ...digest, optional: true }] },
    },
    loader: () => import('./revoke.ts').then((module) => module.revoke),
  }),
  'break-glass': buildCommand({
    docs: { brief: 'Let a release past the rules that refuse it, once: signed, for hours, and a debt' },
    parameters: { flags: { ...json, ...because, hours: { kind: 'parsed', parse: numberParser, brief: 'How long it holds; as long as the policy lets it where it is left out', optional: true } }, positional: positional(digest, environment) },
    loader: () => import('./break-glass.ts').then((module) => module.breakGlass),
  }),
  settle: buildCommand({
    docs: { brief: 'Account for what somebody else broke the glass for' },
    parameters: { flags: { ...json, ...because, debt: said('First digits of the break-glass, where there are several') }, positional: positional(environment) },
    loader: () => import('./break-glass.ts').then((module) => module.settle),
  }),
  incident: buildRouteMap({
    docs: { brief: 'Integrity discrepancies: who looks after them, how they ended' },
    routes: {
      list: buildCommand({ docs: { brief: 'Those that are open' }, parameters: { flags: { ...json, all: yes('Resolved ones too') } }, loader: () => import('./incident.ts').then((module) => module.list) }),
      show: buildCommand({ docs: { brief: 'One of them' }, parameters: { flags: json, positional: positional(incident) }, loader: () => import('./incident.ts').then((module) => module.show) }),
      own: buildCommand({ docs: { brief: 'Say, signed, that you look after it' }, parameters: { flags: json, positional: positional(incident) }, loader: () => import('./incident.ts').then((module) => module.own) }),
      resolve: buildCommand({
        docs: { brief: 'Say, signed, how it ended; the release may be promoted again' },
        parameters: { flags: { ...json, resolution: { kind: 'parsed', parse: String, brief: 'What it was and what mended it' } }, positional: positional(incident) },
        loader: () => import('./incident.ts').then((module) => module.resolve),
      }),
    },
  }),
};
