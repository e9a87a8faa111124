import type { Context } from './context.ts';

type Proposer = (this: Context, partial: string) => Promise<readonly string[]>;

const proposer = (kind: 'digest' | 'environment' | 'reference'): Proposer =>
  async function propose(this: Context, partial: string) {
    const { proposals } = await import('./proposals.ts');
    return proposals(this.system, kind, partial);
  };

const proposers: Readonly<Record<string, Proposer>> = { digest: proposer('digest'), environment: proposer('environment'), reference: proposer('reference') };
const nothing: Proposer = async () => [];

/** A word of the command line. What it is called says what a shell may offer for it. */
export function text(brief: string, placeholder: string) {
  return { brief, placeholder, parse: String, proposeCompletions: proposers[placeholder.split(' ')[0] ?? ''] ?? nothing } as const;
}
