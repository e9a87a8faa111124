import { mkdir, readFile, realpath, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { CairnError } from '#core';
import { askGit, git } from './git.ts';

export interface Commit {
  readonly commit: string;
  /** The committer's time, RFC 3339 in UTC. */
  readonly committedAt: string;
  readonly subject: string;
  readonly branch: string;
}

/** The commit at HEAD of a clean tree. @throws CairnError `not-a-repository`, `dirty-tree` */
export async function resolveCommit(host: Readonly<Record<string, string | undefined>>, repository: string): Promise<Commit> {
  const line = await askGit(host, repository, ['log', '-1', '--format=%H%x00%ct%x00%s%x00%D', 'HEAD']);
  const [commit = '', seconds = '', subject = ''] = line.trimEnd().split('\0');
  const changed = (await askGit(host, repository, ['status', '--porcelain', '--untracked-files=normal'])).split('\n').filter((one) => one !== '');
  if (changed.length > 0) {
    throw new CairnError('dirty-tree', `${changed.length} files are not as the commit has them: ${changed.slice(0, 5).map((one) => one.slice(3)).join(', ')}`, { fix: 'Commit or stash them' });
  }
  const branch = (await askGit(host, repository, ['rev-parse', '--abbrev-ref', 'HEAD'])).trim();
  return { commit, committedAt: new Date(Number(seconds) * 1000).toISOString().replace('.000Z', 'Z'), subject, branch };
}

/**
 * Writes the commit's files to `directory`. A bare repository of our own borrows the user's objects, so that not even the
 * clone's own configuration (a smudge filter, an attribute, a line ending) reaches the files.
 */
export async function checkOut(host: Readonly<Record<string, string | undefined>>, repository: string, commit: string, scratch: string, directory: string): Promise<void> {
  const path = host['PATH'] ?? '/usr/bin:/bin';
  const objects = (await askGit(host, repository, ['rev-parse', '--git-path', 'objects'])).trim();
  const format = (await askGit(host, repository, ['rev-parse', '--show-object-format'])).trim();
  const borrowed = join(scratch, 'git');
  await git(path, scratch, ['init', '--quiet', '--bare', '--template=', `--object-format=${format}`, borrowed]);
  await mkdir(join(borrowed, 'objects/info'), { recursive: true });
  await writeFile(join(borrowed, 'objects/info/alternates'), `${await realpath(resolve(repository, objects))}\n`);
  const tree = await git(path, borrowed, ['ls-tree', '-r', commit]);
  const linked = tree.split('\n').find((line) => line.startsWith('160000 '));
  if (linked !== undefined) throw new CairnError('invalid-configuration', `the commit has a submodule: ${linked.split('\t')[1]}`, { fix: 'Vendor it, or depend on it as a package' });
  await mkdir(directory, { recursive: true });
  const settings = ['-c', 'core.autocrlf=false', '-c', 'core.eol=lf', '-c', 'core.symlinks=true', '-c', 'core.fileMode=true'];
  const where = { GIT_DIR: borrowed, GIT_WORK_TREE: directory, GIT_INDEX_FILE: join(scratch, 'index') };
  await git(path, directory, [...settings, 'read-tree', commit], where);
  await git(path, directory, [...settings, 'checkout-index', '--all', '--force'], where);
}

export async function fileAt(directory: string, name: string, fix: string): Promise<string> {
  return readFile(join(directory, name), 'utf8').catch((cause: unknown) => {
    throw new CairnError('invalid-configuration', `the commit has no ${name}`, { cause, fix });
  });
}
