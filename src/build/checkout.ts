import { mkdir, readFile, realpath, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { CairnError } from '#core';
import type { Commit } from './commit.ts';
import { askGit, git } from './git.ts';
import { removeTree } from './remove-tree.ts';

/**
 * Writes the commit's files to `directory`. A bare repository of our own borrows the user's objects, so that not even the
 * clone's own configuration (a smudge filter, an attribute, a line ending) reaches the files.
 */
export async function checkOut(
  host: Readonly<Record<string, string | undefined>>,
  repository: string,
  { commit, changes }: Commit,
  scratch: string,
  directory: string,
): Promise<void> {
  const path = host['PATH'] ?? '/usr/bin:/bin';
  const objects = (await askGit(host, repository, ['rev-parse', '--git-path', 'objects'])).trim();
  const format = (await askGit(host, repository, ['rev-parse', '--show-object-format'])).trim();
  const borrowed = join(scratch, 'git');
  await git(path, scratch, ['init', '--quiet', '--bare', '--template=', `--object-format=${format}`, borrowed]);
  await mkdir(join(borrowed, 'objects/info'), { recursive: true });
  const lenders = [await realpath(resolve(repository, objects)), ...(changes === null ? [] : [changes.objects])];
  await writeFile(join(borrowed, 'objects/info/alternates'), lenders.map((one) => `${one}\n`).join(''));
  const tree = changes?.tree ?? commit;
  const listed = await git(path, borrowed, ['ls-tree', '-r', tree]);
  const linked = listed.split('\n').find((line) => line.startsWith('160000 '));
  if (linked !== undefined)
    throw new CairnError('invalid-configuration', `the commit has a submodule: ${linked.split('\t')[1]}`, { fix: 'Vendor it, or depend on it as a package' });
  await mkdir(directory, { recursive: true });
  const settings = ['-c', 'core.autocrlf=false', '-c', 'core.eol=lf', '-c', 'core.symlinks=true', '-c', 'core.fileMode=true'];
  const where = { GIT_DIR: borrowed, GIT_WORK_TREE: directory, GIT_INDEX_FILE: join(scratch, 'index') };
  await git(path, directory, [...settings, 'read-tree', tree], where);
  await git(path, directory, [...settings, 'checkout-index', '--all', '--force'], where);
  // Stages have no business with where the objects are.
  await removeTree(borrowed);
  await removeTree(join(scratch, 'index'));
}

export async function fileAt(directory: string, name: string, fix: string): Promise<string> {
  return readFile(join(directory, name), 'utf8').catch((cause: unknown) => {
    throw new CairnError('invalid-configuration', `the commit has no ${name}`, { cause, fix });
  });
}
