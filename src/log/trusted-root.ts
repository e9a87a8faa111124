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
