import { isCelList, isCelMap, isCelUint, type CelValue } from '@bufbuild/cel';
import type { Expr } from '@bufbuild/cel-spec/cel/expr/syntax_pb.js';
import { isMessage } from '@bufbuild/protobuf';
import { DurationSchema, TimestampSchema, timestampMs } from '@bufbuild/protobuf/wkt';
import { isReflectMessage } from '@bufbuild/protobuf/reflect';
import { gathered } from './cel-check.ts';
import { operators } from './cel-functions.ts';

// An expression, or a part of it, as it is written; a value, as people read it.

const most = 80;

export function textOf(expression: Expr | undefined): string {
  const kind = expression?.exprKind;
  switch (kind?.case) {
    case 'constExpr': {
      const { value } = kind.value.constantKind;
      return typeof value === 'string' ? `'${value}'` : String(value);
    }
    case 'identExpr':
      return kind.value.name;
    case 'selectExpr': {
      const text = `${textOf(kind.value.operand)}.${kind.value.field}`;
      return kind.value.testOnly ? `has(${text})` : text;
    }
    case 'listExpr':
      return `[${kind.value.elements.map(textOf).join(', ')}]`;
    case 'callExpr':
      return callText(kind.value.function, kind.value.target, kind.value.args);
    case 'comprehensionExpr': {
      const macro = macroOf(expression);
      return macro === undefined ? '(...)' : `${textOf(kind.value.iterRange)}.${macro.name}(${kind.value.iterVar}, ${macro.parts.map(textOf).join(', ')})`;
    }
    default:
      return '(...)';
  }
}

function callText(name: string, target: Expr | undefined, args: readonly Expr[]): string {
  const [a, b, c] = args;
  const operator = operators[name];
  if (operator === undefined) return `${target === undefined ? '' : `${textOf(target)}.`}${name}(${args.map(textOf).join(', ')})`;
  if (name === '_[_]') return `${textOf(a)}[${textOf(b)}]`;
  if (name === '_?_:_') return `${wrapped(a)} ? ${wrapped(b)} : ${wrapped(c)}`;
  return b === undefined ? `${operator}${wrapped(a)}` : `${wrapped(a)} ${operator} ${wrapped(b)}`;
}

function wrapped(part: Expr | undefined): string {
  const text = textOf(part);
  return part?.exprKind.case === 'callExpr' && ['_&&_', '_||_', '_?_:_', '_+_', '_-_', '@in'].includes(part.exprKind.value.function) ? `(${text})` : text;
}

export interface Macro {
  readonly name: 'all' | 'exists' | 'exists_one' | 'filter' | 'map';
  readonly variable: string;
  readonly range: Expr;
  /** What is asked or made of each element. */
  readonly parts: readonly Expr[];
}

/** The macro that was expanded to this comprehension. */
export function macroOf(expression: Expr | undefined): Macro | undefined {
  const kind = expression?.exprKind;
  if (kind?.case !== 'comprehensionExpr' || kind.value.iterRange === undefined) return undefined;
  const { iterVar: variable, iterRange: range, loopStep } = kind.value;
  const step = loopStep?.exprKind;
  if (step?.case !== 'callExpr') return undefined;
  const [first, second] = step.value.args;
  const named = (name: Macro['name'], ...parts: (Expr | undefined)[]): Macro => ({ name, variable, range, parts: parts.filter((one) => one !== undefined) });
  switch (step.value.function) {
    case '_&&_':
      return named('all', second);
    case '_||_':
      return named('exists', second);
    case '_?_:_': {
      const made = second?.exprKind.case === 'callExpr' ? second.exprKind.value.args[1] : undefined;
      if (made?.exprKind.case !== 'listExpr') return named('exists_one', first);
      const [element] = made.exprKind.value.elements;
      return element?.exprKind.case === 'identExpr' && element.exprKind.value.name === variable ? named('filter', first) : named('map', first, element);
    }
    default:
      return first?.exprKind.case === 'identExpr' && first.exprKind.value.name === gathered && second?.exprKind.case === 'listExpr' ? named('map', second.exprKind.value.elements[0]) : undefined;
  }
}

export function valueText(value: CelValue): string {
  const text = longText(value);
  return text.length > most ? `${text.slice(0, most - 3)}...` : text;
}

function longText(value: CelValue, depth = 0): string {
  if (typeof value === 'string') return depth === 0 ? `'${value}'` : value;
  if (isCelList(value)) {
    const first = [...value].slice(0, 5).map((one) => longText(one, depth + 1));
    return `[${first.join(', ')}${value.size > 5 ? `, and ${value.size - 5} more` : ''}]`;
  }
  if (isCelMap(value)) return recordText(value);
  if (isReflectMessage(value) && isMessage(value.message, TimestampSchema)) return new Date(timestampMs(value.message)).toISOString().replace('.000Z', 'Z');
  if (isReflectMessage(value) && isMessage(value.message, DurationSchema)) return spanText(Number(value.message.seconds));
  return isCelUint(value) ? String(value.value) : String(value);
}

/** A record by what names it: an element of a list is shown in a line of a refusal. */
function recordText(record: ReadonlyMap<unknown, CelValue>): string {
  const say = (name: string) => record.get(name);
  const name = ['id', 'purl', 'rule', 'scanner', 'result', 'commit', 'by'].map((field) => [field, say(field)] as const).find(([, value]) => typeof value === 'string' && value !== '');
  const more = ['package', 'severity', 'level', 'tool'].flatMap((field) => (typeof say(field) === 'string' && say(field) !== '' ? [`${field} ${String(say(field))}`] : []));
  const licenses = say('licenses');
  if (isCelList(licenses)) more.push(`licenses ${longText(licenses, 1)}`);
  return [name === undefined ? 'an element' : String(name[1]), ...(name?.[0] === 'by' ? [] : more), ...(name?.[0] !== 'by' && typeof say('by') === 'string' ? [`by ${String(say('by'))}`] : [])].join(', ');
}

function spanText(seconds: number): string {
  if (Math.abs(seconds) < 120) return `${seconds} s`;
  if (Math.abs(seconds) < 7200) return `${Math.floor(seconds / 60)} minutes`;
  return Math.abs(seconds) < 172_800 ? `${Math.floor(seconds / 3600)} hours` : `${Math.floor(seconds / 86_400)} days`;
}
