import type { z } from 'zod';

/**
 * What does not fit, in words, for the message of an error: the first few problems and no more. Who sends a list of a hundred thousand wrong
 * things would have a message made of as many lines, and time and memory are theirs to spend, not ours.
 */
export function problemsOf({ issues }: z.core.$ZodError): string {
  const first = issues.slice(0, 5).map(({ message, path }) => `\u2716 ${message.slice(0, 300)}${path.length === 0 ? '' : `\n  \u2192 at ${dotted(path)}`}`);
  return [...first, ...(issues.length > 5 ? [`and ${issues.length - 5} more`] : [])].join('\n');
}

function dotted(path: readonly PropertyKey[]): string {
  return path.map((part) => (typeof part === 'number' ? `[${part}]` : `.${String(part)}`)).join('').replace(/^\./, '').slice(0, 200);
}
