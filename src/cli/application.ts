import { buildApplication, buildCommand, buildRouteMap, numberParser } from '@stricli/core';
import { jsonFlag } from './output.ts';
import { governingRoutes } from './routes-governing.ts';
import { lookingRoutes } from './routes-looking.ts';
import { movingRoutes } from './routes-moving.ts';
import { policyRoutes } from './routes-policy.ts';

// Every command is loaded when it is run: starting one must not pay for the others.

const json = { json: jsonFlag };
const personText = { kind: 'parsed', parse: String, brief: 'NAME=ROLE,ROLE@KEY.pub: one more person of the first policy; as often as needed', optional: true, variadic: true } as const;
const witnessFlag = (brief: string) => ({ kind: 'parsed', parse: String, brief, optional: true }) as const;
const soakMinutes = { kind: 'parsed', parse: numberParser, brief: 'Minutes that a release must have been confirmed in staging before production', optional: true } as const;

const routes = {
  init: buildCommand({ docs: { brief: 'Make keys, policy and trust, and write cairn.yaml' }, parameters: { flags: { ...json, person: personText, soak: soakMinutes } }, loader: () => import('./init.ts').then((module) => module.init) }),
  up: buildCommand({
    docs: { brief: 'Run the runner and the control server' },
    parameters: { flags: { systemd: { kind: 'boolean', brief: 'Print a systemd unit that does, and run nothing', default: false, withNegated: false } } },
    loader: () => import('./up.ts').then((module) => module.up),
  }),
  release: buildCommand({
    docs: { brief: 'Build the commit into a signed, logged release digest' },
    parameters: { flags: { ...json, dirty: { kind: 'boolean', brief: 'Build the tree as it is, changes and all; the provenance says so, and production refuses it', optional: true, withNegated: false } } },
    loader: () => import('./release.ts').then((module) => module.release),
  }),
  key: buildRouteMap({
    docs: { brief: 'Keys of people on this machine, and of the log' },
    routes: {
      new: buildCommand({
        docs: { brief: 'Make a key pair for a person' },
        parameters: { flags: json, positional: { kind: 'tuple', parameters: [{ brief: 'Name of the person', placeholder: 'name', parse: String }] } },
        loader: () => import('./key.ts').then((module) => module.newKey),
      }),
      list: buildCommand({ docs: { brief: 'List the keys that are here' }, parameters: { flags: json }, loader: () => import('./key.ts').then((module) => module.listKeys) }),
      rotate: buildCommand({
        docs: { brief: 'Give the log another key; the old one speaks for the entries that are there, and no more' },
        parameters: {
          flags: { ...json, recovery: { kind: 'boolean', brief: 'Sign with the recovery key', default: false, withNegated: false } },
          positional: { kind: 'tuple', parameters: [{ brief: 'log', placeholder: 'key', parse: String }] },
        },
        loader: () => import('./key-rotate.ts').then((module) => module.rotateKey),
      }),
    },
  }),
  witness: buildCommand({
    docs: { brief: 'Run a witness: vouch for what other logs show, by C2SP tlog-witness' },
    parameters: {
      flags: {
        ...json,
        log: { ...witnessFlag('A log to witness, from now on: its verifier key, or the path of its cairn.trust.json; as often as needed'), variadic: true },
        home: witnessFlag('Folder of its own; left out: that of CAIRN_HOME with -witness behind it'),
        name: witnessFlag('What it is called for ever, such as witness.example.com; only with the first start'),
        host: witnessFlag('Address to listen on; 127.0.0.1 where it is left out'),
        port: { kind: 'parsed', parse: numberParser, brief: 'Port to listen on; 6962 where it is left out', optional: true },
      },
    },
    loader: () => import('./witness.ts').then((module) => module.witness),
  }),
  trust: buildRouteMap({
    docs: { brief: 'Whose certificates, logs and timestamps are believed about keyless signatures' },
    routes: {
      show: buildCommand({ docs: { brief: 'Show them, with their validity' }, parameters: { flags: json }, loader: () => import('./trust-root.ts').then((module) => module.showRoots) }),
      root: buildCommand({
        docs: { brief: 'Believe those of a TrustedRoot file, in the place of those before' },
        parameters: { flags: json, positional: { kind: 'tuple', parameters: [{ brief: 'trusted_root.json, or what gh attestation trusted-root prints', placeholder: 'file', parse: String }] } },
        loader: () => import('./trust-root.ts').then((module) => module.putRoot),
      }),
    },
  }),
  ...movingRoutes,
  ...governingRoutes,
  ...lookingRoutes,
  ...policyRoutes,
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
