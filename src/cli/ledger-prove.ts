import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { CairnError, verificationFailed } from '#core';
import { openHome } from '#home';
import { formatProof, inclusionRoot, leafHash, parseProof, readCheckpoint, type Checkpoint, type LogVerifier, type TlogProof } from '#log';
import { verifierOf } from '#verify';
import type { Context } from './context.ts';
import { row, run, type CommonFlags } from './output.ts';
import { rememberCheckpoint, shownBy } from './remember.ts';
import { openSession } from './session.ts';
import { trustOf } from './trust.ts';

/**
 * That an entry is in the log: one text, by C2SP tlog-proof, which checks offline with the log's key alone. By its number, or by the
 * digest of a statement's envelope. With a file it is checked, and no server is asked.
 */
export async function prove(this: Context, flags: CommonFlags & { readonly check?: string }, entry?: string): Promise<void> {
  await run(this, flags, async () => {
    if ((entry === undefined) === (flags.check === undefined)) throw new CairnError('usage', 'an entry or a file with a proof is needed', { fix: 'cairn ledger prove INDEX > entry.tlog-proof, then cairn ledger prove --check entry.tlog-proof' });
    const { system } = this;
    if (flags.check !== undefined) {
      const path = resolve(system.directory, flags.check);
      const text = await readFile(path, 'utf8').catch((cause: unknown) => {
        throw new CairnError('usage', `${path} cannot be read`, { cause, fix: 'Name a file that cairn ledger prove has written' });
      });
      const proof = parseProof(text);
      const checkpoint = requireProof(proof, verifierOf(await trustOf(system, await openHome(system.home))));
      const signer = signedIn(proof.body);
      if (!flags.json) row(this, 'proven', `entry ${proof.index}`, `of ${checkpoint.size}`, `since ${new Date(checkpoint.time * 1000).toISOString()}`, `digest ${signer.digest}`);
      return answer(proof, checkpoint, text);
    }
    const session = await openSession(system);
    const log = verifierOf(await trustOf(system, session.home));
    const { index, body, hashes, note } = await session.api.prove(entry ?? '');
    const proof = { index, body: Buffer.from(body, 'base64'), hashes: hashes.map((hash) => Buffer.from(hash, 'base64')), note };
    const checkpoint = requireProof(proof, log);
    await rememberCheckpoint(session.home, shownBy(session.api), log, note);
    const text = formatProof(proof);
    if (!flags.json) system.out(text.trimEnd());
    return answer(proof, checkpoint, text);
  });
}

/** @throws CairnError `verification-failed` */
function requireProof({ index, body, hashes, note }: TlogProof, log: LogVerifier): Checkpoint {
  const checkpoint = readCheckpoint(note, log);
  const root = inclusionRoot(leafHash(body), index, checkpoint.size, hashes);
  if (root?.equals(checkpoint.root) !== true) throw verificationFailed('proof-invalid', `the proof does not lead from entry ${index} to the checkpoint of ${checkpoint.size} entries`, { fix: 'Ask for it anew: cairn ledger prove' });
  return checkpoint;
}

/** What the entry says was signed: it is in the log as it stands, and so may be read. */
function signedIn(body: Buffer): { digest: string } {
  const { spec } = JSON.parse(body.toString('utf8')) as { spec: { hashedRekordV002: { data: { digest: string } } } };
  return { digest: `sha256:${Buffer.from(spec.hashedRekordV002.data.digest, 'base64').toString('hex')}` };
}

function answer({ index, body }: TlogProof, { size, root, time }: Checkpoint, proof: string) {
  return { index, size, root: root.toString('hex'), time, ...signedIn(body), body: body.toString('base64'), proof };
}
