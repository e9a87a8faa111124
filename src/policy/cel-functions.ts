import { hintFor } from '#core';
import { refuseExpression, requireBoundedPattern } from './cel-limits.ts';
import { joined, nameOf, typeOf, type Type } from './cel-types.ts';

/** The most that evaluating can take. */
export interface Cost {
  readonly steps: number;
  /** Of lists and texts that are made. */
  readonly bytes: number;
}

type Result = Cost & { readonly type: Type };
type Kind = Type['kind'];

const bool: Type = { kind: 'bool' };
const int: Type = { kind: 'int' };
const cheap = (type: Type): Result => ({ type, steps: 1, bytes: 0 });

/** Texts and lists take as long as they are. Looking through a text is far faster than a step; a pattern goes through it by character. */
function scanned(type: Type): number {
  switch (type.kind) {
    case 'string':
      return 1 + type.size / 256;
    case 'list':
    case 'map':
      return 1 + type.size * scanned(type.of);
    case 'record':
      return Object.entries(type.fields).reduce((steps, [name, spec]) => steps + scanned(typeOf(spec, `${type.path}.${name}`, type.sizes)), 1);
    default:
      return 1;
  }
}

const conversions: Readonly<Record<string, { readonly from: readonly Kind[]; readonly to: Type }>> = {
  int: { from: ['int', 'double', 'string', 'timestamp', 'duration'], to: int },
  double: { from: ['int', 'double', 'string'], to: { kind: 'double' } },
  string: { from: ['string', 'bool', 'int', 'double', 'timestamp', 'duration'], to: { kind: 'string', size: 64 } },
  timestamp: { from: ['string', 'timestamp'], to: { kind: 'timestamp' } },
  duration: { from: ['string', 'duration'], to: { kind: 'duration' } },
  bool: { from: ['bool', 'string'], to: bool },
};
export const timeParts = ['getFullYear', 'getMonth', 'getDate', 'getDayOfMonth', 'getDayOfWeek', 'getDayOfYear', 'getHours', 'getMinutes', 'getSeconds', 'getMilliseconds'] as const;
const spanParts: readonly string[] = ['getHours', 'getMinutes', 'getSeconds'];
const methods = ['size', 'contains', 'startsWith', 'endsWith', 'matches', ...timeParts];
const macros = ['all', 'exists', 'exists_one', 'filter', 'map', 'has'];

/** The type and cost of a call, a method's target first. @throws CairnError `invalid-policy` with reason `expression-type` */
export function callType(name: string, method: boolean, of: readonly Type[], literal: string | undefined): Result {
  const [a, b, c] = of;
  const wrong = (): never => {
    const label = operators[name] ?? (method ? `.${name}()` : `${name}()`);
    throw refuseExpression('expression-type', `${label} is not for ${of.map(nameOf).join(' and ') || 'nothing'}`, 'Types of facts: docs/guides/policy.md');
  };
  if (a === undefined) return unknown(name);
  if (!method && Object.hasOwn(operators, name)) return operator(name, a, b, c) ?? wrong();
  if (name === 'size') return of.length === 1 && 'size' in a ? { type: int, steps: 1 + (a.kind === 'string' ? a.size / 16 : 0), bytes: a.kind === 'string' ? 16 * a.size : 0 } : wrong();
  if (!method) {
    const conversion = Object.hasOwn(conversions, name) ? conversions[name] : undefined;
    if (conversion === undefined) return unknown(name);
    return of.length === 1 && conversion.from.includes(a.kind) ? { type: a.kind === 'string' && name === 'string' ? a : conversion.to, steps: 2, bytes: 64 } : wrong();
  }
  if (['contains', 'startsWith', 'endsWith'].includes(name)) return of.length === 2 && a.kind === 'string' && b?.kind === 'string' ? { type: bool, steps: scanned(a) + scanned(b), bytes: 0 } : wrong();
  if (name === 'matches') {
    if (of.length !== 2 || a.kind !== 'string' || b?.kind !== 'string') return wrong();
    // A pattern that comes with the evidence is a program that somebody else wrote.
    if (literal === undefined) throw refuseExpression('expression-pattern', 'the pattern of matches() must be written out', "Such as name.matches('^lib-')");
    requireBoundedPattern(literal);
    return { type: bool, steps: 4 + a.size / 2, bytes: 0 };
  }
  if ((timeParts as readonly string[]).includes(name)) {
    if (a.kind === 'duration') return of.length === 1 && spanParts.includes(name) ? cheap(int) : wrong();
    return a.kind === 'timestamp' && (b === undefined || (b.kind === 'string' && of.length === 2)) ? { type: int, steps: b === undefined ? 4 : 100, bytes: 256 } : wrong();
  }
  return unknown(name);
}

/** How each is written. */
export const operators: Readonly<Record<string, string>> = {
  '_&&_': '&&', '_||_': '||', '!_': '!', '_?_:_': '?:', '_==_': '==', '_!=_': '!=', '_<_': '<', '_<=_': '<=', '_>_': '>', '_>=_': '>=',
  '_+_': '+', '_-_': '-', '_*_': '*', '_/_': '/', '_%_': '%', '-_': '-', '@in': 'in', '_[_]': '[]', '@append': '+', '@not_strictly_false': '',
};

function operator(name: string, a: Type, b: Type | undefined, c: Type | undefined): Result | undefined {
  const number = (type: Type | undefined): boolean => type?.kind === 'int' || type?.kind === 'double';
  const both = (kind: Kind): boolean => a.kind === kind && b?.kind === kind;
  switch (name) {
    case '_&&_':
    case '_||_':
      return both('bool') ? cheap(bool) : undefined;
    case '!_':
    case '@not_strictly_false':
      return a.kind === 'bool' ? cheap(bool) : undefined;
    case '_?_:_': {
      const type = b === undefined || c === undefined || a.kind !== 'bool' ? undefined : joined(b, c);
      return type === undefined ? undefined : cheap(type);
    }
    case '_==_':
    case '_!=_':
      return b !== undefined && !holdsRecord(a) && ((number(a) && number(b)) || joined(a, b) !== undefined) ? { type: bool, steps: scanned(a) + scanned(b), bytes: 0 } : undefined;
    case '_<_':
    case '_<=_':
    case '_>_':
    case '_>=_':
      return (number(a) && number(b)) || both('string') || both('timestamp') || both('duration') ? { type: bool, steps: scanned(a), bytes: 0 } : undefined;
    case '_+_':
    case '@append':
      if (both('string') && a.kind === 'string' && b?.kind === 'string') return { type: { kind: 'string', size: a.size + b.size }, steps: 1 + (a.size + b.size) / 256, bytes: 2 * (a.size + b.size) };
      if (a.kind === 'list' && b?.kind === 'list') {
        const of = joined(a.of, b.of);
        if (of === undefined) return undefined;
        // What is gathered in a loop is put behind, one at a time; a list that is added to another is written anew.
        return name === '@append' ? { type: { ...a, of }, steps: 2, bytes: 16 } : { type: { kind: 'list', of, size: a.size + b.size }, steps: 1 + a.size + b.size, bytes: 16 * (a.size + b.size) };
      }
      if ((both('int') || both('double') || both('duration')) && b !== undefined) return cheap(a);
      if ((a.kind === 'timestamp' && b?.kind === 'duration') || (a.kind === 'duration' && b?.kind === 'timestamp')) return cheap({ kind: 'timestamp' });
      return undefined;
    case '_-_':
      if (both('timestamp')) return cheap({ kind: 'duration' });
      return both('int') || both('double') || both('duration') || (a.kind === 'timestamp' && b?.kind === 'duration') ? cheap(a) : undefined;
    case '_*_':
    case '_/_':
      return both('int') || both('double') ? cheap(a) : undefined;
    case '_%_':
      return both('int') ? cheap(a) : undefined;
    case '-_':
      return number(a) ? cheap(a) : undefined;
    case '@in':
      if (b?.kind === 'map') return a.kind === 'string' ? { type: bool, steps: 2, bytes: 0 } : undefined;
      return b?.kind === 'list' && !holdsRecord(a) && joined(a, b.of) !== undefined ? { type: bool, steps: scanned(b) + scanned(a), bytes: 0 } : undefined;
    case '_[_]':
      return (a.kind === 'list' && b?.kind === 'int') || (a.kind === 'map' && b?.kind === 'string') ? cheap(a.of) : undefined;
    default:
      return undefined;
  }
}

/** Of records only the fields that an expression names are there: they cannot be compared as wholes. */
function holdsRecord(type: Type): boolean {
  return type.kind === 'record' || ((type.kind === 'list' || type.kind === 'map') && holdsRecord(type.of));
}

function unknown(name: string): never {
  const known = [...methods, ...Object.keys(conversions), ...macros];
  const why = known.includes(name) ? `${name}() is used in another way than it can be` : `there is no function "${name}"`;
  throw refuseExpression('expression-type', why, hintFor(name, known));
}
