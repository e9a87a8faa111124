import type { Context } from './context.ts';
import { count, row, run, size, type CommonFlags } from './output.ts';
import { openSession } from './session.ts';

const words = { content: 'unpacked content', layer: 'unpacked layer', build: 'file of a build', leftover: 'leftover of a crash' } as const;
const many = { content: 'unpacked contents', layer: 'unpacked layers', build: 'files of builds', leftover: 'leftovers of crashes' } as const;

/** Removes what nothing returns to. The server does it, between promotions; what a rollback could need stays. */
export async function gc(this: Context, flags: CommonFlags & { readonly dryRun: boolean }): Promise<void> {
  await run(this, flags, async () => {
    const { api } = await openSession(this.system);
    const answer = await api.collectGarbage(flags.dryRun);
    if (!flags.json) {
      for (const kind of ['content', 'layer', 'build', 'leftover'] as const) {
        const items = answer.items.filter((one) => one.kind === kind);
        if (items.length > 0) row(this, flags.dryRun ? 'would go' : 'removed', count(items.length, words[kind], many[kind]), size(items.reduce((sum, { bytes }) => sum + bytes, 0)));
      }
      row(this, 'kept', `${count(answer.kept, 'image and layer', 'images and layers')} that run or may be returned to`, 'every blob of the registry');
      row(this, flags.dryRun ? 'frees' : 'freed', size(answer.bytes), flags.dryRun ? 'cairn gc' : '');
    }
    return answer;
  });
}
