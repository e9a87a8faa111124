import { isMap, isPair, isScalar, LineCounter, parseDocument, type Document, type Node } from 'yaml';
import { CairnError } from '#core';
import { checkDefinition } from './definition-checks.ts';
import { problemsOf, type Path, type Problem } from './definition-problems.ts';
import { definitionSchema, type Definition } from './definition-schema.ts';

/** @throws CairnError `invalid-configuration`: the first thing that is wrong with its line, and the others in `context.lines`. */
export function parseDefinition(text: string): Definition {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines });
  const [error] = document.errors;
  if (error !== undefined) {
    const { line, col } = lines.linePos(error.pos[0]);
    throw new CairnError('invalid-configuration', `cairn.yaml:${line}:${col}: ${error.message.split('\n')[0]?.replace(/ at line.*$/, '') ?? 'is no YAML'}`, {
      fix: 'Mend cairn.yaml',
      context: { line, column: col },
    });
  }
  const value = plain(document);
  const parsed = definitionSchema.safeParse(value);
  const problems = parsed.success ? checkDefinition(parsed.data) : problemsOf(parsed.error.issues, value);
  if (parsed.success && problems.length === 0) return parsed.data;
  throw refusal(problems, document, lines);
}

function refusal(problems: readonly Problem[], document: Document, lines: LineCounter): CairnError {
  const placed = problems.map((problem) => ({ ...problem, ...lines.linePos(offsetOf(document, problem)) }));
  // A key that is spelt wrong is also missing: the spelling is what mends it, so it comes first.
  placed.sort((a, b) => Number(b.unknown === true) - Number(a.unknown === true) || a.line - b.line || a.col - b.col);
  const told = placed.map(({ line, col, text, fix }) => ({ text: `cairn.yaml:${line}:${col}: ${text}`, fix, line, column: col }));
  const [first, ...others] = told;
  const context = { line: first?.line, column: first?.column, ...(others.length > 0 && { lines: others.map((one) => one.text) }) };
  return new CairnError('invalid-configuration', first?.text ?? 'cairn.yaml is malformed', { fix: first?.fix ?? 'Mend cairn.yaml', context });
}

/** Where the value at the path stands, or its key, or the nearest thing above that is written at all. */
function offsetOf(document: Document, { path, at }: Problem): number {
  const key = at === 'key' ? keyAt(document, path) : undefined;
  const found = key ?? (document.getIn(path, true) as Node | undefined);
  if (found?.range != null) return found.range[0];
  const above = path.slice(0, -1);
  if (path.length === 0) return 0;
  return offsetOf(document, { path: above, at: above.length === 0 || typeof above.at(-1) === 'number' ? 'value' : 'key', text: '' });
}

function keyAt(document: Document, path: Path): Node | undefined {
  const map = path.length === 1 ? document.contents : document.getIn(path.slice(0, -1), true);
  if (!isMap(map)) return undefined;
  const pair = map.items.find((one) => isPair(one) && isScalar(one.key) && String(one.key.value) === String(path.at(-1)));
  return pair?.key as Node | undefined;
}

/** Aliases are bounded by the parser: a file of a few lines must not unfold into all of memory. */
function plain(document: Document): unknown {
  try {
    return document.toJS();
  } catch (cause) {
    throw new CairnError('invalid-configuration', `cairn.yaml cannot be read: ${cause instanceof Error ? cause.message : 'malformed'}`, {
      cause,
      fix: 'Use no aliases',
    });
  }
}
