import type { Context } from './context.ts';
import { verifyPlain } from './plain-verify.ts';
import type { StatusFlags } from './status.ts';

/** Runs one command line. */
export async function run(words: readonly string[], context: Context): Promise<void> {
  // Asked all day long: the parser of all commands would take as long to load as the answer takes to come.
  const flags = plainStatus(words);
  if (flags !== undefined) {
    const { status } = await import('./status.ts');
    return status.call(context, flags);
  }
  if (await verifyPlain(words, context)) return;
  const [{ application }, parser] = await Promise.all([import('./application.ts'), import('@stricli/core')]);
  await parser.run(application(context.system.version), words, context);
}

function plainStatus([command, ...rest]: readonly string[]): StatusFlags | undefined {
  if (command !== 'status' || rest.some((word) => word !== '--json' && word !== '--watch')) return undefined;
  return { json: rest.includes('--json'), watch: rest.includes('--watch') };
}

/** Answers a shell that asks what may come behind the words that are typed. */
export async function complete(words: readonly string[], context: Context): Promise<void> {
  const [{ application }, { printProposals }] = await Promise.all([import('./application.ts'), import('./completion.ts')]);
  await printProposals(application(context.system.version), words, context);
}
