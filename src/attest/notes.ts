import { predicateTypes } from './predicates.ts';
import type { Statement, Subject } from './statement.ts';

export interface NotesInput {
  readonly subject: Subject;
  /** The commit of the release before; null for the first one, or where this clone does not know it. */
  readonly since: string | null;
  /** Newest first. */
  readonly commits: readonly { readonly commit: string; readonly subject: string; readonly author: string }[];
}

/** What changed since the release before, in the words of who changed it. */
export function releaseNotes({ subject, since, commits }: NotesInput): Statement {
  return { predicateType: predicateTypes.notes, subject: [subject], predicate: { since, commits } };
}
