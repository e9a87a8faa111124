// keyless: signing with an OpenID Connect identity instead of a key: Fulcio, a timestamp authority, a Rekor v2 log.
export { signKeyless, type KeylessServices, type KeylessSigned } from './sign.ts';
export { readToken, tokenOf, type IdentityToken } from './token.ts';
