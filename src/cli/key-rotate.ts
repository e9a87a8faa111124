import { join } from 'node:path';
import { makeStatement, predicateTypes, signEnvelope, subjectOf, type Envelope } from '#attest';
import { CairnError, digestOf, exists, writeFileDurable } from '#core';
import { loadPerson } from '#home';
import { spkiOf, type Signer } from '#sign';
import { currentTrust, parseTrustFile, requireChain, trustDigest, withLogKey, type Trust, type TrustFile } from '#verify';
import type { Context, System } from './context.ts';
import { row, run, short, type CommonFlags } from './output.ts';
import { openSession, ownSigner, passphrase, type Session } from './session.ts';
import { trustFileOf, trustOf } from './trust.ts';

/** A busy log grows between the question how long it is and the answer that is signed: asked again so often. */
const mostTries = 100;

/**
 * Gives the log another key: a version of trust in which the old one speaks for the entries that are there, and for no more. Signed here
 * by the holder of a rotation key, logged, and written to cairn.trust.json. Cut off anywhere, the same command ends it.
 */
export async function rotateKey(this: Context, flags: CommonFlags & { readonly recovery: boolean }, which: string): Promise<void> {
  await run(this, flags, async () => {
    const { system } = this;
    if (which !== 'log') throw new CairnError('usage', `"${which}" is no key that is rotated so`, { fix: 'cairn key rotate log; keys of people are changed in the policy: cairn policy propose' });
    const session = await openSession(system);
    const known = await trustOf(system, session.home);
    const file = await trustFileOf(system, session.home);
    const served = parseTrustFile(Buffer.from(JSON.stringify(await session.api.trust())));
    // Of a rotation that was cut off, or made on another machine: the file follows the log, as far as the signatures lead.
    const newest = requireChain(trustDigest(known), served);
    const behind = newest.version > known.version;
    const next = behind ? served : await rotate(session, file, known, system, await rotationSigner(system, session, known, flags.recovery));
    const path = await writeTrust(system, next);
    const trust = await trustOf(system, session.home);
    const retired = trust.former?.at(-1);
    if (!flags.json) {
      row(this, behind ? 'followed' : 'rotated', 'log', short(digestOf(Buffer.from(trust.keys.log, 'base64'))), `trust version ${trust.version}`);
      if (retired !== undefined) row(this, 'retired', short(digestOf(Buffer.from(retired.log, 'base64'))), `speaks for the first ${retired.size} entries, and for no more`);
      row(this, 'next', path === null ? 'commit cairn.trust.json where the repository is: run this there' : `git commit ${path}`, `cosign: take ${session.home.paths.sigstore}/trusted_root.json anew`);
    }
    return { version: trust.version, log: trust.keys.log, retired: retired ?? null, followed: behind, file: path };
  });
}

async function rotate({ api }: Session, file: TrustFile, before: Trust, { clock }: System, signer: Signer): Promise<TrustFile> {
  const { key, ...first } = await api.prepareRotation();
  for (let { size } = first, tries = 0; ; tries++) {
    const trust = withLogKey(before, key, size, `${clock.now().toISOString().slice(0, 19)}Z`);
    const statement = { predicateType: predicateTypes.trust, subject: [subjectOf('trust', trustDigest(trust))], predicate: trust };
    const envelopes: Envelope[] = [signEnvelope(makeStatement(statement), signer)];
    const next = { genesis: file.genesis, rotations: [...file.rotations, envelopes] };
    // What the server would refuse, and every client after it, is not even sent.
    currentTrust(next);
    try {
      await api.rotate(envelopes);
      return next;
    } catch (error) {
      const grown = error instanceof CairnError && error.code === 'conflict' ? error.context['size'] : undefined;
      if (typeof grown !== 'number' || tries >= mostTries) throw error;
      size = grown;
    }
  }
}

async function rotationSigner(system: System, { home }: Session, { rotation, recovery }: Trust, recovering: boolean): Promise<Signer> {
  const signer = recovering ? await loadPerson(home.paths.people, 'recovery', await passphrase(system, 'Passphrase of the recovery key: ')) : await ownSigner(system, home);
  const key = spkiOf(signer.publicKey).toString('base64');
  if (recovering && key !== recovery) throw new CairnError('unauthorized', 'the recovery key here is not the one that the trust file names', { fix: 'Bring the key that cairn init has made' });
  if (!recovering && !rotation.keys.includes(key)) throw new CairnError('unauthorized', 'your key may not change the keys of the log', { fix: 'Ask the holder of a rotation key, or bring the recovery key: --recovery' });
  if (!recovering && rotation.threshold > 1) throw new CairnError('refused', `a change of the log's key takes ${rotation.threshold} signatures`, { fix: 'Bring the recovery key: --recovery' });
  return signer;
}

/** Null outside of a repository: the server keeps its own. */
async function writeTrust({ directory }: System, { genesis, rotations }: TrustFile): Promise<string | null> {
  const path = join(directory, 'cairn.trust.json');
  if (!(await exists(path))) return null;
  await writeFileDurable(path, `${JSON.stringify({ genesis, rotations }, null, 2)}\n`);
  return 'cairn.trust.json';
}
