import { open } from 'node:fs/promises';
import { CairnError, verificationFailed } from '#core';
import { homePaths } from '#home';
import { judgeEvidence, mostEvidenceBytes, parseEvidence, parseNote, parseTreeHead, type LogVerifier, type Misdeed } from '#log';
import { currentTrust, verifierOf } from '#verify';
import type { Context } from './context.ts';
import { keptEvidence } from './keep-evidence.ts';
import { count, row, run, type CommonFlags } from './output.ts';
import { evidenceFolder } from './remember.ts';
import { trustFileOf } from './trust.ts';

interface Checked {
  readonly file: string;
  readonly origin: string;
  readonly earlier: { readonly size: number; readonly root: string };
  readonly later: { readonly size: number; readonly root: string };
  readonly misdeeds: readonly Misdeed[];
}

/**
 * What is kept of logs and witnesses that showed two histories; with a file, what it proves. Reads the file and the trust file, and asks nobody: what it answers is what anybody else gets
 * who has the two.
 */
export async function evidence(this: Context, flags: CommonFlags, file?: string): Promise<void> {
  await run(this, flags, async () => {
    const home = { paths: homePaths(this.system.home) };
    const log = verifierOf(currentTrust(await trustFileOf(this.system, home)));
    const checked: Checked[] = [];
    for (const path of file === undefined ? await keptEvidence(evidenceFolder(home)) : [file]) checked.push(await check(path, log));
    if (!flags.json) for (const one of checked) tell(this, one);
    if (!flags.json && checked.length === 0) row(this, 'none', 'no log has shown this machine two histories');
    const [only] = checked;
    if (file !== undefined && only !== undefined && only.misdeeds.length === 0) {
      throw verificationFailed('nothing-proven', `the two checkpoints in ${file} prove nothing against anybody`, { fix: 'Both may be true: the smaller one may simply be the older. If the log has a new key, take the newest cairn.trust.json', context: { ...only } });
    }
    return { evidence: checked };
  });
}

async function check(file: string, log: LogVerifier): Promise<Checked> {
  const found = parseEvidence(await readUpTo(file, mostEvidenceBytes + 1));
  const { origin } = log;
  if (found.origin !== origin) throw verificationFailed('checkpoint-origin', `${file} is about the log ${found.origin}, the trust file here is of ${origin}`, { fix: `Run it beside the cairn.trust.json of ${found.origin}` });
  const headOf = (note: string) => {
    const { size, root } = parseTreeHead(parseNote(note).text);
    return { size, root: root.toString('hex') };
  };
  return { file, origin, earlier: headOf(found.earlier), later: headOf(found.later), misdeeds: judgeEvidence(found, log) };
}

/** No more than that, however long the file that somebody sent. */
async function readUpTo(path: string, limit: number): Promise<Buffer> {
  try {
    const file = await open(path, 'r');
    try {
      const { bytesRead, buffer } = await file.read(Buffer.alloc(limit), 0, limit, 0);
      return buffer.subarray(0, bytesRead);
    } finally {
      await file.close();
    }
  } catch (cause) {
    throw new CairnError('usage', `${path} cannot be read`, { cause, fix: 'cairn ledger evidence lists what there is' });
  }
}

function tell(context: Context, { file, origin, earlier, later, misdeeds }: Checked): void {
  row(context, 'evidence', file);
  row(context, 'log', origin);
  for (const [when, { size, root }] of [['earlier', earlier], ['later', later]] as const) row(context, when, count(size, 'entry', 'entries'), `root ${root.slice(0, 12)}`);
  for (const { signer, vkey, says, reason } of misdeeds) row(context, 'proves', `${signer} ${says}`, reason, ...(vkey === null ? [] : [vkey]));
  if (misdeeds.length === 0) row(context, 'proves', 'nothing against anybody');
}
