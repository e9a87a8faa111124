import { mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fsyncDirectory } from '#core';

/**
 * Makes folders whose names survive a power cut, every level of them. A level that exists is synchronised all the same the first
 * time: whoever made it may have died between mkdir and fsync, and what we acknowledge must not hang from it.
 */
export class DurableFolders {
  readonly #root: string;
  readonly #known = new Set<string>();

  /** @param root exists already, or is made */
  constructor(root: string) {
    this.#root = root;
  }

  async ensure(...path: string[]): Promise<string> {
    let folder = this.#root;
    await this.#one(folder);
    for (const name of path) {
      folder = join(folder, name);
      await this.#one(folder);
    }
    return folder;
  }

  async #one(folder: string): Promise<void> {
    if (this.#known.has(folder)) return;
    await mkdir(folder, { recursive: true });
    await fsyncDirectory(dirname(folder));
    // A cache: forgetting it costs an fsync a level, growing without end would cost memory by what strangers push.
    if (this.#known.size >= 10_000) this.#known.clear();
    this.#known.add(folder);
  }
}
