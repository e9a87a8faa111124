import { mkdir, mkdtemp } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { CairnError } from '#core';
import { askGit } from './git.ts';
import { removeTree } from './remove-tree.ts';

type Host = Readonly<Record<string, string | undefined>>;

export interface Commit {
  readonly commit: string;
  /** The committer's time, RFC 3339 in UTC. */
  readonly committedAt: string;
  readonly subject: string;
  readonly branch: string;
  /** What is built instead of the commit's tree; null where it is clean. */
  readonly changes: Changes | null;
}

interface Changes {
  /** Git's name of the tree as it stands. */
  readonly tree: string;
  /** How many files are not as the commit has them. */
  readonly files: number;
  /** A folder of our own that holds what of it is in no commit. */
  readonly objects: string;
  discard(): Promise<void>;
}

/** The commit at HEAD. With `dirty`, changes are taken along. @throws CairnError `not-a-repository`, `dirty-tree` */
export async function resolveCommit(host: Host, repository: string, dirty = false): Promise<Commit> {
  const line = await askGit(host, repository, ['log', '-1', '--format=%H%x00%ct%x00%s', 'HEAD']);
  const [commit = '', seconds = '', subject = ''] = line.trimEnd().split('\0');
  const changed = (await askGit(host, repository, ['status', '--porcelain', '--untracked-files=normal'])).split('\n').filter((one) => one !== '');
  if (changed.length > 0 && !dirty) {
    const files = changed.length === 1 ? '1 file is' : `${changed.length} files are`;
    throw new CairnError(
      'dirty-tree',
      `${files} not as the commit has them: ${changed
        .slice(0, 5)
        .map((one) => one.slice(3))
        .join(', ')}${changed.length > 5 ? ', ...' : ''}`,
      {
        fix: 'Commit or stash them; --dirty builds the tree as it is, for environments that take that',
      },
    );
  }
  const branch = (await askGit(host, repository, ['rev-parse', '--abbrev-ref', 'HEAD'])).trim();
  const changes = changed.length === 0 ? null : await treeOf(host, repository, commit, changed.length);
  return { commit, committedAt: new Date(Number(seconds) * 1000).toISOString().replace('.000Z', 'Z'), subject, branch, changes };
}

/**
 * The tree as it stands, as git would commit it now: with an index and an object folder of our own, so that neither the user's index
 * nor their repository is touched.
 */
async function treeOf(host: Host, repository: string, commit: string, files: number): Promise<Changes | null> {
  const folder = await mkdtemp('/tmp/cairn-changes-');
  const objects = join(folder, 'objects');
  const discard = () => removeTree(folder);
  try {
    await mkdir(objects);
    const own = resolve(repository, (await askGit(host, repository, ['rev-parse', '--git-path', 'objects'])).trim());
    const where = { GIT_INDEX_FILE: join(folder, 'index'), GIT_OBJECT_DIRECTORY: objects, GIT_ALTERNATE_OBJECT_DIRECTORIES: own };
    await askGit(host, repository, ['read-tree', commit], where);
    await askGit(host, repository, ['add', '--all', ':/'], where);
    const tree = (await askGit(host, repository, ['write-tree'], where)).trim();
    const committed = (await askGit(host, repository, ['rev-parse', `${commit}^{tree}`])).trim();
    if (tree !== committed) return { tree, files, objects, discard };
    // Touched, or changed in what git does not keep.
    await discard();
    return null;
  } catch (error) {
    await discard();
    throw error;
  }
}

export interface Told {
  readonly commit: string;
  readonly subject: string;
  readonly author: string;
}

/** The newest 200 commits that are in `commit` and not in `since`; all where `since` is null or not in this clone. */
export async function commitsSince(host: Host, repository: string, commit: string, since: string | null): Promise<{ since: string | null; commits: Told[] }> {
  const known =
    since !== null &&
    (await askGit(host, repository, ['cat-file', '-e', `${since}^{commit}`]).then(
      () => true,
      () => false,
    ));
  const range = known ? [commit, `^${since}`] : [commit];
  const text = await askGit(host, repository, ['log', '--max-count=200', '--format=%H%x00%s%x00%an', ...range]);
  const commits = text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const [hash = '', subject = '', author = ''] = line.split('\0');
      return { commit: hash, subject: subject.slice(0, 500), author: author.slice(0, 200) };
    });
  return { since: known ? since : null, commits };
}
