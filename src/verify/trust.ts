import { z } from 'zod';
import { parseEnvelope, parsePredicate, parseStatement, payloadOf, spki, subjectDigests, verifyEnvelope, type Envelope } from '#attest';
import { CairnError, canonicalJson, digestOf, isDigest, parseStrictJson, problemsOf, verificationFailed, type Digest } from '#core';
import type { LogVerifier } from '#log';
import { publicKeyFrom } from '#sign';

// cairn.trust.json: what a clone needs to believe nothing but mathematics. Version 1 is taken on first use, from the
// repository; each later version must be signed by a threshold of the rotation keys of the version before (as TUF's root is).

const body = z.strictObject({
  kind: z.literal('trust'),
  version: z.int().positive(),
  origin: z.string().regex(/^[a-z0-9][a-z0-9.-]{0,252}$/),
  since: z.iso.datetime(),
  keys: z.strictObject({ log: spki, time: spki, record: spki, admit: z.record(z.string(), spki) }),
  policy: z.custom<Digest>(isDigest),
  rotation: z.strictObject({ threshold: z.int().positive(), keys: z.array(spki).min(1).max(64) }),
  recovery: spki.nullable(),
  /** Keys that signed the log's checkpoints before, oldest first: each up to the size at which it was retired. */
  former: z.array(z.strictObject({ log: spki, size: z.int().positive(), since: z.iso.datetime(), until: z.iso.datetime() })).min(1).optional(),
});
/** More than two centuries of a rotation a quarter. */
const mostRotations = 1000;
const file = z.strictObject({ genesis: body, rotations: z.array(z.array(z.unknown()).max(64)).max(mostRotations) });

export type Trust = Readonly<z.infer<typeof body>>;
export interface TrustFile {
  readonly genesis: Trust;
  readonly rotations: readonly (readonly Envelope[])[];
}

export function trustBody(value: unknown): Trust {
  const parsed = body.safeParse(value);
  if (!parsed.success) throw new CairnError('malformed-document', `trust: ${problemsOf(parsed.error)}`);
  return Object.freeze(parsed.data);
}

export function trustDigest(trust: Trust): Digest {
  return digestOf(canonicalJson(trust));
}

export function parseTrustFile(bytes: Uint8Array): TrustFile {
  let value: unknown;
  try {
    value = parseStrictJson(bytes, 'cairn.trust.json');
  } catch (cause) {
    throw new CairnError('malformed-document', (cause as Error).message, { cause, fix: 'git checkout -- cairn.trust.json', context: (cause as CairnError).context });
  }
  const parsed = file.safeParse(value);
  if (!parsed.success) throw new CairnError('malformed-document', `cairn.trust.json: ${problemsOf(parsed.error)}`);
  const rotations = parsed.data.rotations.map((group) => group.map(parseEnvelope));
  return { genesis: trustBody(parsed.data.genesis), rotations };
}

/** Walks the chain of rotations; the last version is the one in force. @throws CairnError `verification-failed` */
export function currentTrust(trustFile: TrustFile): Trust {
  return walk(trustFile).at(-1) ?? trustFile.genesis;
}

/**
 * A client that knows one version accepts only files whose chain passes through it: whoever swaps the file in the repository
 * cannot swap the keys. @throws CairnError `trust-changed`
 */
export function requireChain(known: Digest, trustFile: TrustFile): Trust {
  const versions = walk(trustFile);
  if (!versions.some((version) => trustDigest(version) === known)) {
    throw new CairnError('trust-changed', 'cairn.trust.json is not signed by the keys that this machine knows', {
      fix: 'Ask who changed it: git log -p cairn.trust.json',
    });
  }
  return versions.at(-1) ?? trustFile.genesis;
}

export function verifierOf(trust: Trust): LogVerifier {
  const former = trust.former?.map(({ log, ...rest }) => ({ ...rest, log: publicKeyFrom(log, 'ed25519') }));
  return { origin: trust.origin, log: publicKeyFrom(trust.keys.log, 'ed25519'), time: publicKeyFrom(trust.keys.time, 'ed25519'), ...(former !== undefined && { former }) };
}

function walk(trustFile: TrustFile): Trust[] {
  const versions = [trustFile.genesis];
  for (const envelopes of trustFile.rotations) versions.push(rotate(versions.at(-1) ?? trustFile.genesis, envelopes));
  return versions;
}

/** One step: the envelopes all carry the same next version and enough distinct rotation keys, or the recovery key, signed it. */
function rotate(before: Trust, envelopes: readonly Envelope[]): Trust {
  const refuse = (why: string) => verificationFailed('rotation-invalid', `the rotation of trust after version ${before.version} is refused: ${why}`);
  const payloads = new Set(envelopes.map((envelope) => envelope.payload));
  const [first] = envelopes;
  if (first === undefined || payloads.size !== 1) throw refuse('its signatures are over different texts');
  const statement = parseStatement(payloadOf(first));
  const next = trustBody(parsePredicate('trust', statement));
  if (!subjectDigests(statement).includes(trustDigest(next))) throw refuse('its subject is not the digest of the new version');
  if (next.version !== before.version + 1 || next.origin !== before.origin) throw refuse('it does not follow version and origin');
  if (!retires(before, next)) throw refuse('it does not keep the keys that the log had before, each up to where it spoke');
  const signed = (key: string) => envelopes.some((one) => verifyEnvelope(one, publicKeyFrom(key, 'ecdsa')));
  const count = new Set(before.rotation.keys).size === before.rotation.keys.length ? before.rotation.keys.filter(signed).length : 0;
  const recovered = before.recovery !== null && signed(before.recovery);
  if (count < before.rotation.threshold && !recovered) throw refuse(`${count} of ${before.rotation.threshold} signatures hold`);
  return next;
}

/** The log's history of keys only grows: by the key that this version takes out of use, and by nothing else. */
function retires(before: Trust, next: Trust): boolean {
  const { former: [...known] = [] } = before;
  const { former: [...all] = [] } = next;
  const last = next.keys.log === before.keys.log ? undefined : all.pop();
  if (canonicalJson(all).compare(canonicalJson(known)) !== 0) return false;
  if (next.keys.log === before.keys.log) return true;
  return last !== undefined && last.log === before.keys.log && last.size > (known.at(-1)?.size ?? 0) && last.since === keySince(before) && Date.parse(last.until) >= Date.parse(last.since) && !all.some(({ log }) => log === next.keys.log);
}

/** From when on the log's key of this version is its key. */
function keySince(trust: Trust): string {
  return trust.former?.at(-1)?.until ?? trust.since;
}

/** The next version, in which the log has another key; the one before it speaks for the first `size` entries. `time`: RFC 3339; a clock that is behind ends nothing before it began. */
export function withLogKey(trust: Trust, log: string, size: number, time: string): Trust {
  const since = keySince(trust);
  const retired = { log: trust.keys.log, size, since, until: Date.parse(time) < Date.parse(since) ? since : time };
  return trustBody({ ...trust, version: trust.version + 1, keys: { ...trust.keys, log }, former: [...(trust.former ?? []), retired] });
}
