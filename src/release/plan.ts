import { CairnError, type Digest } from '#core';
import { contentHash, type Content } from './content.ts';
import type { ReleaseDocument } from './document.ts';
import type { Revision, Timeline } from './ports.ts';

/** A content that the timeline can return to, and the revision that it comes from. */
export interface Return {
  readonly revision: Revision;
  /** What would run: the revision's release and configuration; secrets as the release wants them, pinned or newest. */
  readonly content: Content;
  readonly hash: Digest;
  /** The revision whose content this is, also where `revision` is itself a rollback. */
  readonly restores: number;
}

export type ReadDocument = (application: string, release: Digest) => Promise<ReleaseDocument>;

/**
 * Where a rollback can go, best first: let S be the revision that the live one restores, else the live one; every revision
 * before S that was ever confirmed, runs other content, and is neither quarantined here nor revoked. Counting from S is what
 * keeps a second rollback from toggling back to what the first one left.
 */
export async function* returns(timeline: Timeline, document: ReadDocument, keepConfiguration = false): AsyncGenerator<Return> {
  const { live } = timeline;
  if (live === undefined) return;
  const before = live.restores ?? live.number;
  const seen = new Set<Digest>([live.content]);
  for (const revision of timeline.revisions.toReversed()) {
    if (revision.number >= before || !revision.confirmed || timeline.revoked.includes(revision.release) || isQuarantined(timeline, revision)) continue;
    const content = contentToReturn(revision, live, await document(timeline.application, revision.release), keepConfiguration);
    const hash = contentHash(content);
    if (seen.has(hash) || timeline.quarantined.includes(hash)) continue;
    seen.add(hash);
    yield { revision, content, hash, restores: revision.restores ?? revision.number };
  }
}

/** Secrets follow their newest version, since an old one may be revoked, unless the release pins them to its content. */
export function contentToReturn(revision: Revision, live: Revision, document: ReleaseDocument, keepConfiguration = false): Content {
  const pinned = (name: string) => document.secrets?.[name] === 'pin';
  const secrets = Object.fromEntries(Object.entries(revision.secrets).map(([name, version]) => [name, pinned(name) ? version : Math.max(live.secrets[name] ?? 0, version)]));
  return { release: revision.release, configuration: keepConfiguration ? live.configuration : revision.configuration, secrets };
}

/** @throws CairnError `nothing-to-return-to`, saying why */
export async function chooseReturn(timeline: Timeline, document: ReadDocument, wanted: { to?: number | undefined; keepConfiguration?: boolean | undefined } = {}): Promise<Return> {
  const { application, environment, live } = timeline;
  if (live === undefined) throw new CairnError('nothing-to-return-to', `nothing of ${application} runs in ${environment}`, { fix: `cairn promote DIGEST ${environment}` });
  for await (const one of returns(timeline, document, wanted.keepConfiguration)) if (wanted.to === undefined || one.revision.number === wanted.to || one.restores === wanted.to) return one;
  if (wanted.to !== undefined) {
    throw new CairnError('nothing-to-return-to', `revision ${wanted.to} of ${application} in ${environment} is nothing that can be returned to: ${whyNot(timeline, wanted.to)}`, { fix: `cairn rollback ${environment} --list` });
  }
  throw new CairnError('nothing-to-return-to', `${application} has no earlier confirmed revision in ${environment} that may return`, {
    fix: `cairn status shows what runs; cairn promote DIGEST ${environment} moves forward`,
  });
}

function whyNot(timeline: Timeline, number: number): string {
  const revision = timeline.revisions.find((one) => one.number === number);
  const live = timeline.live;
  if (revision === undefined) return 'there is no such revision';
  if (!revision.confirmed) return `it was never confirmed, it is ${revision.state}`;
  if (timeline.revoked.includes(revision.release)) return 'its release was revoked';
  if (isQuarantined(timeline, revision)) return `it was rolled back from, see cairn resume`;
  if (live !== undefined && number >= (live.restores ?? live.number)) return 'it does not come before what runs; move forward with cairn promote';
  return 'another way back has the same content, or it runs already';
}

export function isQuarantined(timeline: Timeline, one: { release: Digest; content: Digest }): boolean {
  return timeline.quarantined.includes(one.release) || timeline.quarantined.includes(one.content);
}
