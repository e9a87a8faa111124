import { CairnError } from '#core';

// What an expression may be and may cost. Whoever writes a policy must not be able to hang or fill the server that decides by it, and
// whoever brings evidence must not be able to by its size: all of this is known before anything runs.

export const celLimits = {
  /** Characters of the source. */
  source: 4096,
  /** Nodes of the syntax tree. */
  nodes: 1000,
  /** Levels of the syntax tree; also of brackets in the text, counted before it is parsed, since the parser itself recurses. */
  depth: 48,
  /** Comprehensions within each other. */
  loops: 3,
  /** Steps: one for each node that is evaluated, more for what looks through texts and lists. About a quarter of a microsecond each. */
  steps: 2_000_000,
  /** Bytes of texts and lists that are made on the way. */
  bytes: 8 << 20,
  /** Characters of a pattern, and what its repetitions multiply to. */
  pattern: 256,
  repeats: 1000,
  /** By the clock, in milliseconds, whatever was computed before: a defect of ours must not hang the server either. */
  patienceMs: 10_000,
} as const;

export type CelReason =
  | 'expression-too-long' | 'expression-too-large' | 'expression-too-deep' | 'expression-loops' | 'expression-allocates' | 'expression-pattern' | 'expression-malformed'
  | 'expression-type';

/** The expression, and with it the policy, is at fault. */
export function refuseExpression(reason: CelReason, message: string, fix: string): CairnError {
  return new CairnError('invalid-policy', message, { fix, context: { reason } });
}

/** Before it is parsed. @throws CairnError `invalid-policy` */
export function requireParsable(source: string): void {
  if (source.length > celLimits.source) throw refuseExpression('expression-too-long', `the expression has ${source.length} characters, more than the ${celLimits.source} allowed`, 'Split it into several rules');
  let depth = 0;
  let quote = '';
  for (let at = 0; at < source.length; at++) {
    const one = source[at] ?? '';
    if (quote !== '') {
      if (one === '\\') at++;
      else if (one === quote) quote = '';
    } else if (one === '"' || one === "'") quote = one;
    else if ('([{?'.includes(one)) depth++;
    else if (')]}:'.includes(one)) depth--;
    if (depth > celLimits.depth) throw tooDeep();
  }
}

export function tooDeep(): CairnError {
  return refuseExpression('expression-too-deep', `the expression nests deeper than ${celLimits.depth} levels`, 'Split it into several rules');
}

/**
 * RE2 takes time linear in the text, but a program that is as large as its repetitions multiply to: `((a{100}){100}){100}` is a
 * million instructions. @throws CairnError `invalid-policy`
 */
export function requireBoundedPattern(pattern: string): void {
  const refuse = (why: string) => refuseExpression('expression-pattern', `the pattern ${JSON.stringify(pattern.slice(0, 60))} ${why}`, 'Write a simpler pattern, or use startsWith, endsWith and contains');
  if (pattern.length > celLimits.pattern) throw refuse(`has ${pattern.length} characters, more than the ${celLimits.pattern} allowed`);
  const repeats = [...pattern.matchAll(/\{(\d+)(?:,(\d*))?\}/g)].map(([, least = '1', most]) => Math.max(1, Number(least), Number(most ?? 0)));
  if (repeats.reduce((product, one) => product * one, 1) > celLimits.repeats) throw refuse(`repeats more than ${celLimits.repeats} times`);
}
