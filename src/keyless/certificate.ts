import { X509Certificate } from 'node:crypto';
import { z } from 'zod';
import { malformed, parseStrictJson } from '#core';
import { publicKeyPem, spkiOf, type Signer } from '#sign';
import { ask } from './ask.ts';
import type { IdentityToken } from './token.ts';

const chain = z.looseObject({ chain: z.looseObject({ certificates: z.array(z.string().max(65_536)).min(1).max(16) }) });
const answer = z.looseObject({ signedCertificateEmbeddedSct: chain.optional(), signedCertificateDetachedSct: chain.optional() });

/**
 * A certificate of ten minutes for `signer`'s key and the token's identity (sigstore/fulcio: fulcio.proto, CreateSigningCertificate).
 * The signature over the token's subject proves that who asks holds the key, so that nobody has another's key certified as his own.
 * @returns the leaf in DER
 */
export async function certificateOf(fulcio: string, token: IdentityToken, signer: Signer): Promise<Buffer> {
  const body = JSON.stringify({
    credentials: { oidcIdentityToken: token.raw },
    publicKeyRequest: { publicKey: { algorithm: 'ECDSA', content: publicKeyPem(signer.publicKey) }, proofOfPossession: signer.sign(Buffer.from(token.subject)).toString('base64') },
  });
  const url = `${fulcio.replace(/\/$/, '')}/api/v2/signingCert`;
  const parsed = answer.safeParse(parseStrictJson(await ask({ url, contentType: 'application/json', body }), "Fulcio's answer"));
  const [pem] = (parsed.data?.signedCertificateEmbeddedSct ?? parsed.data?.signedCertificateDetachedSct)?.chain.certificates ?? [];
  if (pem === undefined) throw malformed('certificate-malformed', 'Fulcio answered without a certificate');
  try {
    const leaf = new X509Certificate(pem);
    if (spkiOf(leaf.publicKey).equals(spkiOf(signer.publicKey))) return leaf.raw;
  } catch (cause) {
    throw malformed('certificate-malformed', "Fulcio's certificate cannot be read", { cause });
  }
  throw malformed('certificate-malformed', "Fulcio's certificate is for another key");
}
