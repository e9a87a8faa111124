import { isCelList, isCelMap, type CelInput } from '@bufbuild/cel';
import type { Expr } from '@bufbuild/cel-spec/cel/expr/syntax_pb.js';
import { evaluate, type Bindings } from './cel.ts';
import { macroOf, textOf, valueText } from './cel-text.ts';

// Why an expression does not hold: the part of it that failed, of the first element that failed it, with the values that it had. Looks
// again at what was evaluated already, each part at most once more a level, so that it costs no more than the levels allow.

const operands: ReadonlySet<string> = new Set(['_==_', '_!=_', '_<_', '_<=_', '_>_', '_>=_', '@in']);

export function explain(expression: Expr, bindings: Bindings): string {
  const { exprKind } = expression;
  const holds = (part: Expr | undefined) => part !== undefined && isTrue(part, bindings);
  if (exprKind.case === 'callExpr') {
    const [a, b, c] = exprKind.value.args;
    switch (exprKind.value.function) {
      case '_&&_': {
        const failed = holds(a) ? b : a;
        return failed === undefined ? textOf(expression) : explain(failed, bindings);
      }
      case '_||_':
        return [a, b].flatMap((part) => (part === undefined ? [] : [explain(part, bindings)])).join('; and ');
      case '_?_:_': {
        const taken = holds(a) ? b : c;
        return taken === undefined ? textOf(expression) : explain(taken, bindings);
      }
      default:
        if (operands.has(exprKind.value.function)) return compared(expression, [a, b], bindings);
        return compared(expression, [exprKind.value.target, a, b], bindings);
    }
  }
  const macro = macroOf(expression);
  if (macro !== undefined) return explainLoop(expression, macro, bindings);
  return compared(expression, [], bindings);
}

function explainLoop(expression: Expr, { name, variable, range, parts: [test] }: NonNullable<ReturnType<typeof macroOf>>, bindings: Bindings): string {
  const ranged = evaluate(range, bindings);
  if ('error' in ranged) return said(expression, ranged.error);
  const elements: CelInput[] = isCelList(ranged.value) ? [...ranged.value] : isCelMap(ranged.value) ? [...ranged.value.keys()] : [];
  if (test === undefined) return textOf(expression);
  const of = textOf(range);
  if (name === 'all') {
    const at = elements.findIndex((element) => !isTrue(test, { ...bindings, [variable]: element }));
    const failed = elements[at];
    if (failed === undefined) return textOf(expression);
    return `${of}: ${elementText(failed)}: ${explain(test, { ...bindings, [variable]: failed })}`;
  }
  if (elements.length === 0) return `${of} is empty, so none is there for which ${textOf(test)}`;
  if (name === 'exists_one') {
    const fitting = elements.filter((element) => isTrue(test, { ...bindings, [variable]: element }));
    return `${fitting.length} of ${elements.length} in ${of}, not one, with ${textOf(test)}`;
  }
  const [only] = elements;
  const nearest = elements.length === 1 && only !== undefined ? `: ${elementText(only)}: ${explain(test, { ...bindings, [variable]: only })}` : '';
  return `none of ${elements.length} in ${of} with ${textOf(test)}${nearest}`;
}

function elementText(element: CelInput): string {
  return valueText(element as Parameters<typeof valueText>[0]);
}

/** The text and what its operands were; of what is written out itself nothing is said. */
function compared(expression: Expr, parts: readonly (Expr | undefined)[], bindings: Bindings): string {
  const whole = evaluate(expression, bindings);
  if ('error' in whole) return said(expression, whole.error);
  const values = parts.flatMap((part) => {
    if (part === undefined || part.exprKind.case === 'constExpr' || part.exprKind.case === 'listExpr') return [];
    const found = evaluate(part, bindings);
    return 'error' in found ? [] : [`${textOf(part)} is ${valueText(found.value)}`];
  });
  return values.length === 0 ? `${textOf(expression)} is false` : `${textOf(expression)}: ${values.join(', ')}`;
}

/** An error of the library, in words of the facts. */
function said(expression: Expr, error: string): string {
  return `${textOf(expression)} has no value: ${error}`;
}

function isTrue(part: Expr, bindings: Bindings): boolean {
  const found = evaluate(part, bindings);
  return 'value' in found && found.value === true;
}
