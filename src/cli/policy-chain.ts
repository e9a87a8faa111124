import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parsePredicate, parseStatement, payloadOf, predicateTypes, type Facts } from '#attest';
import { CairnError, verificationFailed, writeFileDurable } from '#core';
import type { Home } from '#home';
import type { LogVerifier } from '#log';
import { PolicyChain, readPolicyStatement } from '#policy';
import type { AboutAnswer, PoliciesAnswer } from '#server';
import { keyHint } from '#sign';
import { verifyBundle, type Trust } from '#verify';
import { publicKey } from './public-key.ts';

/**
 * Follows the policy from the digest in cairn.trust.json to the version in force, by bundles that are verified here: each version signed
 * by the quorum of the one before it. What the server says that is in force is not asked.
 * @throws CairnError `verification-failed`: `genesis-policy` where the first version is another one, `policy-quorum` where a version that the server shows lacks its quorum
 */
export function followPolicy(genesis: Pick<Trust, 'policy'>, log: LogVerifier, { statements, proposals }: Pick<PoliciesAnswer, 'statements' | 'proposals'>): PolicyChain {
  const chain = new PolicyChain(genesis.policy);
  const revoked: Facts['revokedKeys'][number][] = [];
  const inOrder = statements.map((one) => ({ one, at: Number(one.bundle.verificationMaterial.tlogEntries[0].logIndex) })).toSorted((a, b) => a.at - b.at);
  for (const { one } of inOrder) {
    const claimed = parseStatement(payloadOf(one.bundle.dsseEnvelope));
    const isPolicy = claimed.predicateType === predicateTypes.policy;
    // The first one is signed by its own people, which its digest binds; every other by people of the version in force.
    const { people } = chain.versions.at(-1)?.policy ?? (isPolicy ? readPolicyStatement(claimed).policy : { people: [] });
    const keys = people.flatMap((person) => person.keys);
    if (!keys.some((key) => keyHint(publicKey(key)) === one.bundle.verificationMaterial.publicKey.hint)) {
      if (chain.versions.length === 0) chain.take({ statement: claimed, key: '', logIndex: 0, time: 0 }, revoked);
      continue;
    }
    const { statement, key, logIndex, time } = verifyBundle(one.bundle, { log, keys });
    if (isPolicy) chain.take({ statement, key, logIndex, time }, revoked);
    else if (claimed.predicateType === predicateTypes.keyRevocation) {
      const { key: of, after, by, reason } = parsePredicate('keyRevocation', statement);
      revoked.push({ key: of, after, by, reason });
    }
  }
  if (chain.versions.length === 0) throw verificationFailed('genesis-policy', 'the server shows no policy', { fix: 'Do not promote; compare cairn.trust.json with its history: git log -p cairn.trust.json' });
  const unsigned = proposals.find(({ digest, state }) => state === 'in-force' && !chain.versions.some((one) => one.digest === digest));
  if (unsigned !== undefined) throw lacksQuorum(`version ${unsigned.policy.version} of the policy, in force by the server's word,`);
  return chain;
}

/** That the policy which the server goes by is one that its people signed. @throws CairnError `verification-failed` with reason `policy-quorum` */
export function requireSigned({ versions }: PolicyChain, shown: string): void {
  if (!versions.some(({ digest }) => digest === shown)) throw lacksQuorum('the policy that the server goes by');
}

function lacksQuorum(what: string): CairnError {
  return verificationFailed('policy-quorum', `${what} is not signed by the quorum of the version before it`, { fix: 'Do not promote; cairn audit reads the log itself; ask the people of the quorum whether they signed' });
}

/** A server that shows an older policy than we saw takes back what people agreed on since. @throws CairnError `verification-failed` with reason `policy-rewound` */
export async function rememberPolicy({ paths }: Pick<Home, 'paths'>, { origin }: LogVerifier, { versions }: PolicyChain): Promise<void> {
  const path = join(paths.known, `${origin}.policy`);
  const known = (await readFile(path, 'utf8').catch(() => '')).trim();
  if (known !== '' && !versions.some(({ digest }) => digest === known)) {
    throw verificationFailed('policy-rewound', 'the server shows an older policy than this machine saw before', { fix: `Do not promote; compare cairn policy list with what people signed; what was seen is in ${path}` });
  }
  const newest = versions.at(-1)?.digest;
  if (newest !== undefined && newest !== known) await writeFileDurable(path, `${newest}\n`);
}

export function notesOf(statements: readonly AboutAnswer[]): string[] {
  return [...new Set(statements.map(({ bundle }) => bundle.verificationMaterial.tlogEntries[0].inclusionProof.checkpoint.envelope))];
}

/** The newest policy that the server shows, by its word alone. */
export function claimedPolicy({ statements }: Pick<PoliciesAnswer, 'statements'>): unknown {
  const newest = statements.findLast(({ predicateType }) => predicateType === predicateTypes.policy);
  return newest === undefined ? undefined : parseStatement(payloadOf(newest.bundle.dsseEnvelope)).predicate;
}
