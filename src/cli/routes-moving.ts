import { buildCommand, buildRouteMap, numberParser } from '@stricli/core';
import { jsonFlag } from './output.ts';
import { text } from './parameters.ts';

// The commands that move releases. Each is loaded when it is run.

const json = { json: jsonFlag };
const positional = <const P extends readonly { brief: string; placeholder: string; parse: (input: string) => unknown }[]>(...parameters: P) => ({ kind: 'tuple', parameters }) as const;
const reason = { reason: { kind: 'parsed', parse: String, brief: 'Why, for the record', optional: true } } as const;
const number = (brief: string) => ({ kind: 'parsed', parse: numberParser, brief, optional: true }) as const;
const flag = (brief: string) => ({ kind: 'boolean', brief, optional: true, withNegated: false }) as const;
const report = (brief: string) => ({ kind: 'parsed', parse: String, brief, optional: true, variadic: true }) as const;
const digest = text('Release digest or its first digits', 'digest');
const environment = text('Environment', 'environment');

export const movingRoutes = {
  promote: buildCommand({
    docs: { brief: 'Let a release into an environment, if its gate allows' },
    parameters: {
      flags: {
        ...json, ...reason,
        traffic: number('Percent of new clients that it gets at first; the rest stays where it is'),
        config: { kind: 'parsed', parse: String, brief: 'NAME=VALUE of the environment, as often as needed', optional: true, variadic: true },
      },
      positional: positional(digest, environment),
    },
    loader: () => import('./promote.ts').then((module) => module.promote),
  }),
  approve: buildCommand({
    docs: { brief: 'Say, signed, that you want a release in an environment' },
    parameters: { flags: { ...json, ...reason, days: number('How long it holds; 7 where it is left out') }, positional: positional(digest, environment) },
    loader: () => import('./approve.ts').then((module) => module.approve),
  }),
  attest: buildCommand({
    docs: { brief: 'Sign what other tools found out about a release: test results, findings, scans, bills of materials' },
    parameters: {
      flags: {
        ...json, junit: report('JUnit XML: test results'), sarif: report('SARIF 2.1.0: findings'), osv: report('OSV-Scanner JSON: vulnerabilities'),
        cyclonedx: report('CycloneDX 1.4 to 1.6 JSON: a bill of materials'), spdx: report('SPDX 2.3 JSON: a bill of materials'),
        bundle: report('Sigstore bundle that another tool signed: it counts by its own signature'),
        from: { kind: 'parsed', parse: String, brief: 'REGISTRY/REPOSITORY: what was attached to the release there', optional: true },
        keyless: flag('Sign as whoever the identity token of the CI says, with no key'),
        fulcio: { kind: 'parsed', parse: String, brief: 'Fulcio for --keyless; the public one where it is left out', optional: true },
        timestamp: { kind: 'parsed', parse: String, brief: 'Timestamp authority for --keyless; the public one where it is left out', optional: true },
        collect: flag('Look now at what was attached in our own registry; every promotion does'),
      },
      positional: { kind: 'array', parameter: text('Release, then reports whose form is recognised', 'reference FILE'), minimum: 1 },
    },
    loader: () => import('./attest.ts').then((module) => module.attest),
  }),
  scan: buildCommand({
    docs: { brief: 'Hold what a release is made of against a folder of OSV entries, and sign what is found' },
    parameters: { flags: { ...json, osv: { kind: 'parsed', parse: String, brief: 'Folder of OSV entries, one JSON file each' } }, positional: positional(text('Release', 'reference')) },
    loader: () => import('./scan.ts').then((module) => module.scan),
  }),
  rollback: buildCommand({
    docs: { brief: 'Switch back to the content before, configuration included' },
    parameters: {
      flags: {
        ...json, ...reason,
        to: number('The revision whose content is wanted'),
        keepConfig: flag('Keep the configuration that runs'),
        list: flag('Only show where it could go'),
        plan: flag('Only show what it would do'),
        drill: flag('Do all but the switch, now, and log it'),
      },
      positional: positional(environment),
    },
    loader: () => import('./rollback.ts').then((module) => module.rollback),
  }),
  resume: buildCommand({
    docs: { brief: 'Let a release that was rolled back from be promoted again' },
    parameters: { flags: { ...json, ...reason }, positional: positional(digest, environment) },
    loader: () => import('./resume.ts').then((module) => module.resume),
  }),
  traffic: buildCommand({
    docs: { brief: 'Set how many new clients the newest revision gets' },
    parameters: { flags: json, positional: positional(environment, { brief: 'Percent, 1 to 100', placeholder: 'percent', parse: numberParser }) },
    loader: () => import('./traffic.ts').then((module) => module.traffic),
  }),
  config: buildRouteMap({
    docs: { brief: "An environment's settings" },
    routes: {
      set: buildCommand({
        docs: { brief: 'Change settings: a revision of its own, through gate and switch' },
        parameters: {
          flags: { ...json, ...reason, unset: { kind: 'parsed', parse: String, brief: 'Name of a setting to remove', optional: true, variadic: true } },
          positional: { kind: 'array', parameter: text('Environment, then NAME=VALUE ...', 'environment NAME=VALUE'), minimum: 1 },
        },
        loader: () => import('./config.ts').then((module) => module.set),
      }),
      list: buildCommand({ docs: { brief: 'Show settings, and where each is from' }, parameters: { flags: json, positional: positional(environment) }, loader: () => import('./config.ts').then((module) => module.list) }),
    },
  }),
  secret: buildRouteMap({
    docs: { brief: 'Secrets: encrypted at rest, by version, in no statement' },
    routes: {
      put: buildCommand({
        docs: { brief: 'Store a new version, from the terminal or standard input; what runs is switched to it' },
        parameters: { flags: json, positional: positional(text('Its name, which is the variable', 'name'), environment) },
        loader: () => import('./secret.ts').then((module) => module.put),
      }),
      list: buildCommand({ docs: { brief: 'Names and versions' }, parameters: { flags: json, positional: positional(environment) }, loader: () => import('./secret.ts').then((module) => module.list) }),
    },
  }),
};
