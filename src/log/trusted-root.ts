import { spkiOf } from '#sign';
import { logIdOf, type LogVerifier } from './checkpoint.ts';

/** The TrustedRoot by which cosign and sigstore-go know our log. Empty lists are written: sigstore-python needs them. */
export function trustedRoot(log: LogVerifier, validFrom: string): object {
  return {
    mediaType: 'application/vnd.dev.sigstore.trustedroot+json;version=0.1',
    tlogs: [
      {
        baseUrl: `https://${log.origin}`,
        hashAlgorithm: 'SHA2_256',
        publicKey: { rawBytes: spkiOf(log.log).toString('base64'), keyDetails: 'PKIX_ED25519', validFor: { start: validFrom } },
        logId: { keyId: logIdOf(log.origin, log.log).toString('base64') },
      },
    ],
    certificateAuthorities: [],
    ctlogs: [],
    timestampAuthorities: [],
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
