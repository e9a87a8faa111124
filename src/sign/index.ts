// sign: keys in cosign's encrypted format and the signers made from them.
export { decryptPrivateKey, encryptPrivateKey, keyRing, type KeyRing } from './cosign-key.ts';
export { p256Point, verifyDigest } from './digest-signature.ts';
export { generateSigner, keyHint, publicKeyFrom, publicKeyPem, signerFrom, spkiOf, type KeyKind, type Signer } from './signer.ts';
