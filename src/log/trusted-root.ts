import type { KeyObject } from 'node:crypto';
import { spkiOf } from '#sign';
import { logIdOf, type LogVerifier } from './checkpoint.ts';

/** The TrustedRoot by which cosign and sigstore-go know our log. Keys that it had before are in it too: what they signed stays signed. Empty lists are written: sigstore-python needs them. */
export function trustedRoot(log: LogVerifier, validFrom: string): object {
  const { former = [] } = log;
  return {
    mediaType: 'application/vnd.dev.sigstore.trustedroot+json;version=0.1',
    tlogs: [
      ...former.map((one) => tlog(log.origin, one.log, { start: one.since, end: one.until })),
      tlog(log.origin, log.log, { start: former.at(-1)?.until ?? validFrom }),
    ],
    certificateAuthorities: [],
    ctlogs: [],
    timestampAuthorities: [],
  };
}

function tlog(origin: string, key: KeyObject, validFor: { readonly start: string; readonly end?: string }): object {
  return {
    baseUrl: `https://${origin}`,
    hashAlgorithm: 'SHA2_256',
    publicKey: { rawBytes: spkiOf(key).toString('base64'), keyDetails: 'PKIX_ED25519', validFor },
    logId: { keyId: logIdOf(origin, key).toString('base64') },
  };
}

/** The SigningConfig by which cosign logs to us. Its lists are written even where they are empty; without `rekorTlogConfig` cosign panics. */
export function signingConfig(url: string, validFrom: string): object {
  return {
    mediaType: 'application/vnd.dev.sigstore.signingconfig.v0.2+json',
    caUrls: [],
    oidcUrls: [],
    rekorTlogUrls: [{ url, majorApiVersion: 2, validFor: { start: validFrom }, operator: 'cairn' }],
    rekorTlogConfig: { selector: 'ANY' },
    tsaUrls: [],
    tsaConfig: { selector: 'ANY' },
  };
}
