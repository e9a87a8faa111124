import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { envelopeDigest, makeStatement, parseBundle, parseEnvelope, parsePredicate, parseStatement, predicateTypes, subjectDigests, verifyEnvelope, type PredicateName } from '#attest';
import { CairnError, canonicalJson, parseCanonicalJson, parseStrictJson } from '#core';
import { inclusionRoot, leafHash, parseNote, readCheckpoint } from '#log';
import { parseManifest } from '#oci';
import { parsePolicy } from '#policy';
import { currentTrust, parseTrustFile, requireChain, trustDigest, verifyBundle } from '#verify';
import { corpus, type Parser } from './engine.ts';
import { hold, key, known, log, parse } from './known.ts';

// What stands between an attacker and a decision. What is signed may be accepted in one meaning only: that which its signer gave it.

const people = known.people.map(key);
const json = fc.json({ maxDepth: 6 });
const names = Object.keys(predicateTypes) as PredicateName[];

const bundles = corpus('bundle').map((bytes) => verifyBundle(parseBundle(bytes), { log, keys: known.people }));
const envelopes = corpus('envelope').map((bytes) => envelopeDigest(parseEnvelope(parse(bytes))));
const checkpoints = corpus('checkpoint').map((bytes) => readCheckpoint(bytes.toString('utf8'), log));

interface Proof {
  readonly body: string;
  readonly index: number;
  readonly size: number;
  readonly root: string;
  readonly proof: string[];
}

const base64 = fc.base64String({ maxLength: 120 });
const line = fc.tuple(fc.string({ unit: 'grapheme', maxLength: 20 }), base64).map(([name, signature]) => `\u2014 ${name} ${signature}\n`);
const note = fc.tuple(fc.constantFrom(known.origin, '', 'x', '\u2014'), fc.oneof(fc.nat().map(String), fc.string({ maxLength: 20 })), base64, fc.array(line, { maxLength: 40 })).map(([origin, size, root, lines]) => `${origin}\n${size}\n${root}\n\n${lines.join('')}`);

export const trustParsers: readonly Parser[] = [
  {
    name: 'bundle', corpus: corpus('bundle'), grammar: json,
    run: (bytes) => {
      const bundle = parseBundle(bytes);
      hold(isDeepStrictEqual(parseBundle(canonicalJson(bundle)), bundle), 'a bundle reads otherwise the second time');
      const verified = verifyBundle(bundle, { log, keys: known.people });
      hold(bundles.some((one) => isDeepStrictEqual(one, verified)), 'a bundle that nobody signed verifies');
    },
  },
  {
    name: 'envelope', corpus: corpus('envelope'), grammar: json,
    run: (bytes) => {
      const envelope = parseEnvelope(parse(bytes));
      hold(isDeepStrictEqual(parseEnvelope(envelope), envelope), 'an envelope reads otherwise the second time');
      const holds = people.some((one) => verifyEnvelope(envelope, one));
      // ECDSA signatures have more than one form (s and n - s, and DER that OpenSSL forgives): what was signed must be the same, not its signature.
      hold(!holds || envelopes.includes(envelopeDigest(envelope)) || corpus('envelope').some((one) => parseEnvelope(parse(one)).payload === envelope.payload), 'an envelope that nobody signed verifies');
    },
  },
  {
    name: 'statement', corpus: corpus('statement'), grammar: json,
    run: (bytes) => {
      const statement = parseStatement(bytes);
      hold(canonicalJson(parse(bytes)).equals(bytes), 'a statement was read that is not canonical');
      hold(subjectDigests(statement).length === statement.subject.length, 'a subject has no digest');
      hold(isDeepStrictEqual(parseStatement(makeStatement(statement)), statement), 'a statement reads otherwise the second time');
      for (const name of names) if (predicateTypes[name] === statement.predicateType) parsePredicate(name, statement);
    },
  },
  {
    name: 'note', corpus: corpus('checkpoint'), grammar: note,
    run: (bytes) => {
      const text = bytes.toString('utf8');
      const { text: said, signatures } = parseNote(text);
      const again = `${said}\n${signatures.map(({ name, id, signature }) => `\u2014 ${name} ${Buffer.concat([Buffer.from(id, 'hex'), signature]).toString('base64')}\n`).join('')}`;
      hold(again === text, 'a note is not what its parts say');
    },
  },
  {
    name: 'checkpoint', corpus: corpus('checkpoint'), grammar: note,
    run: (bytes) => {
      const { size, root, time } = readCheckpoint(bytes.toString('utf8'), log);
      hold(checkpoints.some((one) => one.size === size && one.root.equals(root) && one.time === time), 'a checkpoint that nobody signed verifies');
    },
  },
  {
    name: 'proof', corpus: corpus('proof'), grammar: json,
    run: (bytes) => {
      const { body, index, size, root, proof } = (parse(bytes) ?? {}) as Proof;
      if (typeof body !== 'string' || typeof root !== 'string' || typeof index !== 'number' || typeof size !== 'number' || !Array.isArray(proof) || !proof.every((one) => typeof one === 'string')) throw new CairnError('malformed-document', 'no proof');
      const found = inclusionRoot(leafHash(Buffer.from(body, 'base64')), index, size, proof.map((hash) => Buffer.from(hash, 'base64')));
      const wanted = Buffer.from(root, 'base64');
      if (found?.equals(wanted) !== true || !checkpoints.some((one) => one.root.equals(wanted) && one.size === size)) throw new CairnError('verification-failed', 'no proof');
      const body64 = Buffer.from(body, 'base64').toString('base64');
      hold(proofs.some((one) => one.body === body64 && one.index === index && one.size === size), 'a proof of what is not in the log');
    },
  },
  {
    name: 'policy', corpus: corpus('policy'), grammar: json,
    run: (bytes) => hold(canonicalJson(parsePolicy(bytes)).equals(bytes), 'a policy is not what its digest names'),
  },
  {
    name: 'trust', corpus: corpus('trust'), grammar: json,
    run: (bytes) => {
      const file = parseTrustFile(bytes);
      const trust = currentTrust(file);
      const accepted = requireChain(known.trust[0] as never, file);
      hold(isDeepStrictEqual(trust, accepted) && known.trust.includes(trustDigest(accepted)), 'a version of trust that nobody signed is in force');
    },
  },
  {
    name: 'canonical-json', corpus: [...corpus('statement'), ...corpus('policy')], grammar: json,
    run: (bytes) => hold(canonicalJson(parseCanonicalJson(bytes, 'it')).equals(bytes), 'JSON was read that is not canonical'),
  },
  {
    name: 'strict-json', corpus: [...corpus('statement'), ...corpus('bundle'), ...corpus('trust')], grammar: fc.json({ maxDepth: 10, stringUnit: 'binary' }),
    run: (bytes) => {
      const value = parseStrictJson(bytes, 'it');
      const text = bytes.toString('utf8');
      hold(isDeepStrictEqual(value, JSON.parse(text)) && Buffer.from(text).equals(bytes), 'strict JSON is other JSON');
      // Names are counted by two others: those of the text, and those that are left in the value.
      const colons = text.replaceAll(/"(?:[^"\\]|\\.)*"/g, '""').split(':').length - 1;
      hold(countNames(value) === colons, 'a name stood twice');
    },
  },
  {
    name: 'manifest', corpus: corpus('manifest'), grammar: json,
    run: (bytes) => parseManifest(bytes),
  },
];

const proofs = corpus('proof').map((bytes) => parse(bytes) as Proof);

function countNames(value: unknown): number {
  if (Array.isArray(value)) return value.reduce((sum: number, one) => sum + countNames(one), 0);
  if (typeof value !== 'object' || value === null) return 0;
  return Object.values(value).reduce((sum: number, one) => sum + 1 + countNames(one), 0);
}
