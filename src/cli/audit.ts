import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { asCairnError, CairnError, canonicalJson, digestOf, writeFileDurable, type Digest } from '#core';
import { openHome, type Home } from '#home';
import { openReader, type LedgerReader } from '#ledger';
import { readCheckpoint, type LogVerifier } from '#log';
import { verifierOf, type Trust } from '#verify';
import { auditLog, type Finding, type LogAudit } from './audit-log.ts';
import { auditRegistry } from './audit-registry.ts';
import { auditSigners } from './audit-signers.ts';
import type { Context } from './context.ts';
import { count, run, size, type CommonFlags } from './output.ts';
import { contradiction, shownFrom } from './remember.ts';
import { trustFileOf, trustOf } from './trust.ts';

const mostFindings = 200;

/**
 * Everything, from the bytes that rest on the disk: the log and its checkpoints, every envelope and who may have signed it, the index
 * against the log, every blob, the runner's journal. Asks no server, so that it needs none to be believed.
 */
export async function audit(this: Context, flags: CommonFlags & { readonly capsule?: string }, reference?: string): Promise<void> {
  await run(this, flags, async () => {
    if (flags.capsule !== undefined) {
      const { auditCapsule } = await import('./audit-capsule.ts');
      return auditCapsule(this, flags.json, flags.capsule, reference);
    }
    if (reference !== undefined) throw new CairnError('usage', 'everything is audited, not one release', { fix: `cairn verify ${reference}, or cairn audit --capsule FILE ${reference}` });
    const { system } = this;
    const start = system.clock.elapsed();
    const home = await openHome(system.home);
    const trust = await trustOf(system, home);
    const { genesis } = await trustFileOf(system, home);
    const log = verifierOf(trust);
    const findings: Finding[] = [];
    const report = (finding: Finding): void => {
      if (findings.length < mostFindings) findings.push(finding);
    };
    const reader = await openReader(home.paths.ledger);
    const show = (what: string | null) => (flags.json ? undefined : system.showing(what === null ? null : `  .. ${what}`));
    try {
      show('log: every leaf, checkpoint, envelope and signature');
      const audited = await auditLog(reader, log, trust.keys, report);
      const { verdicts } = auditSigners(audited.statements, genesis, trust, report);
      await auditRemembered(home, log, audited, report);
      show('index: folded again from the log');
      await auditIndex(reader, trust, report);
      const revisions = await reader.revisions().catch((error: unknown) => {
        report({ what: `the index: ${asCairnError(error).message}`, fix: rebuild });
        return [];
      });
      const released = new Map(revisions.map(({ application, release }) => [`${application}@${release}`, { application, release }]));
      show('registry: every blob');
      const registry = await auditRegistry(home.paths.registry, [...released.values()], report);
      const journal = await auditJournal(join(home.paths.runner, 'journal.jsonl'), report);
      if (findings.length > 0) throw refuse(findings, audited.size);
      const result = {
        origin: log.origin, entries: audited.size, checkpoints: audited.checkpoints, root: audited.newest?.root.toString('hex') ?? null, statements: audited.statements.length, verdicts,
        revisions: revisions.length, ...registry, journal, milliseconds: Math.round(system.clock.elapsed() - start), findings,
      };
      show(null);
      if (!flags.json) system.out(summary(result));
      return result;
    } finally {
      show(null);
      await reader.close();
    }
  });
}

const rebuild = 'cairn ledger rebuild, which computes the index again from the log';

function summary(result: { entries: number; checkpoints: number; statements: number; verdicts: number; revisions: number; bytes: number; blobs: number; journal: number; milliseconds: number }): string {
  const parts = [
    count(result.entries, 'log entry', 'log entries'), `${count(result.checkpoints, 'checkpoint')} in one chain`, count(result.statements, 'statement'), count(result.verdicts, 'verdict'),
    count(result.revisions, 'revision'), `${count(result.journal, 'journal line')}`, `${size(result.bytes)} in ${count(result.blobs, 'blob')} re-hashed`,
  ];
  return `  ${parts.join(', ')}: all hold     ${(result.milliseconds / 1000).toFixed(1)} s`;
}

function refuse(findings: readonly Finding[], entries: number): CairnError {
  const [first] = findings;
  return new CairnError('verification-failed', `${count(findings.length, 'finding')} in ${count(entries, 'log entry', 'log entries')} and all blobs`, {
    fix: first?.fix ?? 'See the findings', context: { findings },
  });
}

/** What this machine saw before must be the beginning of what there is now: a log that was cut or rewritten is noticed here. */
async function auditRemembered(home: Home, log: LogVerifier, { newest, size: entries, rootAt, tiles }: LogAudit, report: (finding: Finding) => void): Promise<void> {
  const path = join(home.paths.known, `${log.origin}.checkpoint`);
  const saved = await readFile(path, 'utf8').catch(() => undefined);
  if (saved !== undefined) {
    const known = readCheckpoint(saved, log);
    const goes = 'restore a backup that goes at least so far';
    const unlike = known.size > entries || !(await rootAt(known.size)).equals(known.root);
    // Of a log that lacks leaves nothing more can be shown than its newest checkpoint.
    const kept = unlike && newest !== undefined && newest.note !== known.note ? (await contradiction(home, shownFrom(tiles, newest.note), log, known, newest)).context['evidence'] : undefined;
    const fix = kept === undefined ? `Compare it with ${path}; ${goes}` : `cairn ledger evidence ${String(kept)} says what both prove; ${goes}`;
    if (known.size > entries) return report({ what: `the log went back: this machine saw ${known.size} entries, now there are ${entries}`, fix });
    if (unlike) return report({ what: `the log forked: its first ${known.size} entries are not those that this machine saw`, fix });
    if (known.size === entries) return;
  }
  if (newest !== undefined) await writeFileDurable(path, newest.note);
}

async function auditIndex(reader: LedgerReader, { keys }: Trust, report: (finding: Finding) => void): Promise<void> {
  try {
    if (!(await reader.refold(keys.record, Object.values(keys.admit))).same) report({ what: 'the index is not what the log says', fix: rebuild });
  } catch (error) {
    report({ what: `the index cannot be computed from the log: ${asCairnError(error).message}`, fix: 'Mend the findings in front of this one' });
  }
}

/** Each line names the digest of the one before. Behind the last stand zeros, and perhaps a line that a crash tore and nobody was told of. */
async function auditJournal(path: string, report: (finding: Finding) => void): Promise<number> {
  const bytes = await readFile(path).catch(() => Buffer.alloc(0));
  const end = bytes.indexOf(0);
  const lines = bytes.subarray(0, end < 0 ? bytes.byteLength : end).toString('utf8').split('\n').slice(0, -1);
  let previous: Digest = `sha256:${'0'.repeat(64)}`;
  for (const [at, line] of lines.entries()) {
    if (!follows(line, at + 1, previous)) {
      report({ what: `journal line ${at + 1}: it does not follow the line before it`, fix: `Restore ${path} from a backup; the log has the outcomes that it had recorded` });
      return at;
    }
    previous = digestOf(line);
  }
  return lines.length;
}

function follows(line: string, sequence: number, previous: Digest): boolean {
  try {
    const entry = JSON.parse(line) as { sequence: number; previous: string };
    return entry.sequence === sequence && entry.previous === previous && canonicalJson(entry).toString('utf8') === line;
  } catch {
    return false;
  }
}
