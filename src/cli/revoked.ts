import { parsePredicate, predicateTypes } from '#attest';
import { verificationFailed, type Digest } from '#core';
import { findPackage } from '#policy';
import { verifyBundle } from '#verify';
import type { Vouched } from './evidence.ts';
import { holderOf, knownKeys, requireSameLog, type Footing } from './footing.ts';
import { short } from './output.ts';
import type { Session } from './session.ts';

/** Something about a release that was taken back, and who said so. */
export interface TakenBack {
  readonly kind: 'release' | 'key' | 'package';
  readonly what: string;
  readonly by: string;
  readonly reason: string;
  readonly logIndex: number;
  /** Of a key: the statements that do not count any more. */
  readonly envelopes: readonly Digest[];
}

/**
 * What was revoked of a release: itself, packages of its bill, keys that signed about it. Each revocation is verified here, from its
 * bytes. One by somebody whom today's policy does not know counts too: revoking only takes away, and who has left may have been right.
 */
export async function takenBack(session: Session, footing: Footing, vouched: readonly Vouched[], packages: readonly { readonly name: string; readonly version: string; readonly purl: string | null }[]): Promise<TakenBack[]> {
  const billed = packages.map(({ name, version, purl }) => ({ name, version, purl: purl ?? '', licenses: [] }));
  const found: TakenBack[] = vouched.filter(({ kind }) => kind === 'revocation').map(({ statement, logIndex, signer }) => {
    const { reason } = parsePredicate('revocation', statement);
    return { kind: 'release', what: 'the release', by: signer, reason, logIndex, envelopes: [] };
  });
  for (const { bundle, key } of await session.api.revocations()) {
    const verified = verifyBundle(bundle, { log: footing.log, keys: [...knownKeys(footing), key] });
    await requireSameLog(session, footing, bundle.verificationMaterial.tlogEntries[0].inclusionProof.checkpoint.envelope);
    const { statement, logIndex } = verified;
    const by = holderOf(footing, verified.key) ?? 'somebody whom the policy does not know any more';
    if (statement.predicateType === predicateTypes.packageRevocation) {
      const { purl, reason } = parsePredicate('packageRevocation', statement);
      const named = findPackage(billed, purl);
      if (named !== undefined) found.push({ kind: 'package', what: named.purl === '' ? named.name : named.purl, by, reason, logIndex, envelopes: [] });
    } else {
      const { key: revoked, after, reason } = parsePredicate('keyRevocation', statement);
      const signed = vouched.filter((one) => one.key === revoked && (after === null || one.logIndex > after));
      const what = `a key of ${holderOf(footing, revoked) ?? 'somebody'}${after === null ? '' : `, after log entry ${after}`}`;
      if (signed.length > 0) found.push({ kind: 'key', what, by, reason, logIndex, envelopes: signed.map(({ envelope }) => envelope) });
    }
  }
  return found;
}

/** What still counts of what was said. */
export function standing(vouched: readonly Vouched[], taken: readonly TakenBack[]): Vouched[] {
  const gone = new Set(taken.flatMap(({ envelopes }) => envelopes));
  return vouched.filter(({ envelope }) => !gone.has(envelope));
}

/** @throws CairnError `verification-failed`: whoever vouched for it did so with a key that was revoked */
export function requireVouched(release: Digest, vouched: readonly Vouched[], taken: readonly TakenBack[]): void {
  const isProvenance = ({ kind }: Vouched) => kind === 'provenance';
  if (!vouched.some(isProvenance) || standing(vouched, taken).some(isProvenance)) return;
  const revoked = taken.find(({ envelopes }) => vouched.some((one) => isProvenance(one) && envelopes.includes(one.envelope)));
  throw verificationFailed('key-revoked', `nothing that counts vouches for ${short(release)}: it was signed by ${revoked?.what}, which ${revoked?.by} revoked: ${revoked?.reason}`, {
    fix: 'A builder whose key counts builds the commit again: cairn release', context: { revoked: taken },
  });
}

/** @throws CairnError `verification-failed`: the release, or a package in it, was revoked */
export function requireNotRevoked(release: Digest, taken: readonly TakenBack[]): void {
  const worst = taken.find(({ kind }) => kind === 'release') ?? taken.find(({ kind }) => kind === 'package');
  if (worst === undefined) return;
  const reason = worst.kind === 'release' ? 'release-revoked' : 'package-revoked';
  throw verificationFailed(reason, `its bytes and statements hold, but ${short(release)} ${worst.kind === 'release' ? 'was revoked' : `contains ${worst.what}, which was revoked`} by ${worst.by}: ${worst.reason}`, {
    fix: 'Do not run it: cairn status names where it runs, cairn rollback ENVIRONMENT leaves it', context: { revoked: taken },
  });
}
