import { createPublicKey } from 'node:crypto';
import { parsePredicate, predicateTypes, subjectDigests, type Statement } from '#attest';
import { CairnError, digestOf, type Digest } from '#core';
import { packageIdentity } from '#policy';
import { spkiOf } from '#sign';
import { requireGuardian, requireSigner, statementOf } from './authority.ts';
import type { Engine } from './engine.ts';
import type { SignedStatement } from './ports.ts';
import { touchedBy, type Touched } from './touched.ts';
import type { Ways } from './ways.ts';

/** What is taken back: a release, what a key signed, or a package wherever a bill of materials names it. */
export type Revoked =
  | { readonly kind: 'release'; readonly application: string; readonly release: Digest }
  | { readonly kind: 'key'; readonly key: string; readonly after: number | null }
  | { readonly kind: 'package'; readonly purl: string };

/**
 * Logs a revocation and has it count at once: the next decision everywhere is made under it, and the runner's plans are made anew, so that
 * a revert by itself goes to nothing that was revoked. What runs is not touched. @returns what runs and is touched by it
 */
export async function revoke(engine: Engine, ways: Ways, signed: SignedStatement): Promise<readonly Touched[]> {
  const { ledger, signers } = engine.options;
  const authority = await engine.authority();
  const statement = statementOf(signed);
  const { revoked, by } = readRevocation(statement);
  const person = requireSigner(signed, by, authority);
  // Whose key was stolen takes it back without asking anybody.
  if (!(revoked.kind === 'key' && person.keys.includes(revoked.key))) requireGuardian(person, authority.policy, 'revoke');
  if (revoked.kind === 'key') {
    requireRevocable(revoked.key, [signers.record, ...authority.policy.environments.map(({ name }) => signers.admit(name))].map(({ publicKey }) => spkiOf(publicKey).toString('base64')));
    const { size } = await ledger.newest();
    if (revoked.after !== null && revoked.after >= size) throw new CairnError('usage', `the log has no entry ${revoked.after}: it has ${size}`, { fix: `Give an entry up to ${size - 1}, or none to take back all that the key ever signed` });
  }
  await ledger.commit([signed]);
  engine.decisions.clear();
  const timelines = await ledger.timelines();
  for (const timeline of timelines) {
    ways.forget(timeline);
    await ways.offer(timeline).catch(() => {});
  }
  return touchedBy(engine, timelines, revoked);
}

function readRevocation(statement: Statement): { revoked: Revoked; by: string } {
  const [subject] = subjectDigests(statement);
  if (subject === undefined || statement.subject.length !== 1) throw new CairnError('malformed-document', 'the statement revokes not just one thing');
  const about = (digest: Digest) => {
    if (digest !== subject) throw new CairnError('malformed-document', 'the subject of the statement is not what it revokes', { context: { reason: 'subject-mismatch' } });
  };
  switch (statement.predicateType) {
    case predicateTypes.revocation: {
      const { application, by } = parsePredicate('revocation', statement);
      return { revoked: { kind: 'release', application, release: subject }, by };
    }
    case predicateTypes.keyRevocation: {
      const { key, after, by } = parsePredicate('keyRevocation', statement);
      about(digestOf(Buffer.from(key, 'base64')));
      return { revoked: { kind: 'key', key, after }, by };
    }
    case predicateTypes.packageRevocation: {
      const { purl, by } = parsePredicate('packageRevocation', statement);
      about(digestOf(purl));
      if (packageIdentity(purl) === undefined) throw new CairnError('malformed-document', `"${purl.slice(0, 200)}" is no package URL`, { fix: 'pkg:npm/left-pad@1.3.0, or without the version for all of them' });
      return { revoked: { kind: 'package', purl }, by };
    }
    default:
      throw new CairnError('malformed-document', `a statement of the type ${statement.predicateType} revokes nothing`);
  }
}

/** The server's own keys are the trust file's, and are replaced through it. */
function requireRevocable(key: string, own: readonly string[]): void {
  try {
    const whole = spkiOf(createPublicKey({ key: Buffer.from(key, 'base64'), format: 'der', type: 'spki' })).toString('base64');
    if (whole !== key) throw new Error('it is written in another way than keys are');
  } catch (cause) {
    throw new CairnError('malformed-document', 'what is to be revoked is no public key', { cause, fix: 'cairn key list shows the keys of this machine; give a .pub file, a name or a whole base64 key' });
  }
  if (own.includes(key)) throw new CairnError('refused', "the key is one of the server's own", { fix: 'It is replaced in cairn.trust.json: see docs/guides/incidents-and-revocation.md' });
}

