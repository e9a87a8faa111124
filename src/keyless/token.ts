import { z } from 'zod';
import { CairnError, parseStrictJson } from '#core';
import { ask } from './ask.ts';

/** Whom Fulcio's tokens must be for. */
const audience = 'sigstore';

/** An OpenID Connect token, read as far as signing needs. Whether it is genuine is for Fulcio to say. */
export interface IdentityToken {
  readonly raw: string;
  /** What a proof of possession is made over: the e-mail address where there is one, else the subject. */
  readonly subject: string;
}

/**
 * The token that a CI hands to its jobs: SIGSTORE_ID_TOKEN as it is (GitLab writes it by `id_tokens`), or from GitHub, where the job
 * has `id-token: write`. From nowhere else: no browser opens.
 * @throws CairnError `unauthorized` where there is none
 */
export async function tokenOf(environment: Readonly<Record<string, string | undefined>>): Promise<IdentityToken> {
  const given = environment['SIGSTORE_ID_TOKEN'];
  if (given !== undefined && given !== '') return readToken(given);
  const [url, secret] = [environment['ACTIONS_ID_TOKEN_REQUEST_URL'], environment['ACTIONS_ID_TOKEN_REQUEST_TOKEN']];
  if (url === undefined || secret === undefined) {
    throw new CairnError('unauthorized', 'there is no identity token to sign with', { fix: 'In GitHub Actions give the job "permissions: id-token: write"; elsewhere put an OpenID Connect token for the audience "sigstore" into SIGSTORE_ID_TOKEN, or name its file' });
  }
  const where = URL.parse(url);
  where?.searchParams.set('audience', audience);
  const answer = z.looseObject({ value: z.string() }).safeParse(parseStrictJson(await ask({ url: where?.href ?? url, authorization: `Bearer ${secret}` }), "the answer of GitHub's token service"));
  if (!answer.success) throw new CairnError('malformed-document', "GitHub's token service answered without a token");
  return readToken(answer.data.value);
}

const claims = z.looseObject({ sub: z.string().min(1).optional(), email: z.string().min(1).optional(), email_verified: z.union([z.boolean(), z.literal('true'), z.literal('false')]).optional() });

/** @throws CairnError `unauthorized` for what is no token */
export function readToken(text: string): IdentityToken {
  const raw = text.trim();
  const refuse = (why: string, cause?: unknown) => new CairnError('unauthorized', `the identity token is refused: ${why}`, { cause, fix: 'Give the whole token: three parts with dots between them' });
  const parts = raw.split('.');
  if (raw.length > 32_768 || parts.length !== 3 || parts.some((part) => !/^[A-Za-z0-9_-]+$/.test(part))) throw refuse('it is not a JSON Web Token');
  let said: z.infer<typeof claims>;
  try {
    said = claims.parse(parseStrictJson(Buffer.from(parts[1] ?? '', 'base64url'), 'the token'));
  } catch (cause) {
    throw refuse('it cannot be read', cause);
  }
  if (said.email !== undefined && said.email_verified !== true && said.email_verified !== 'true') throw refuse('nobody verified its e-mail address');
  const subject = said.email ?? said.sub;
  if (subject === undefined) throw refuse('it names nobody');
  return Object.freeze({ raw, subject });
}
