import type { Expr, Expr_Call, Expr_Comprehension } from '@bufbuild/cel-spec/cel/expr/syntax_pb.js';
import { hintFor } from '#core';
import { callType, type Cost } from './cel-functions.ts';
import { celLimits, refuseExpression, tooDeep } from './cel-limits.ts';
import { joined, nameOf, typeOf, type Sizes, type Type } from './cel-types.ts';
import { factSpecs, type FactName } from './facts.ts';

// One walk over the syntax tree that gives its type and the most that it can cost. It is strict: what it does not know does not run.

export interface Analysis extends Cost {
  readonly type: Type;
}

interface Walk {
  readonly sizes: Sizes;
  /** Facts that are read. */
  readonly facts: Set<FactName>;
  /** Fields of records that are read, wherever they are. */
  readonly fields: Set<string>;
  nodes: number;
}

interface Scope {
  readonly name: string;
  readonly type: Type;
  readonly outer: Scope | undefined;
}

/** Name of the variable in which a macro gathers its result. Nobody can write it. */
export const gathered = '@result';

/** @throws CairnError `invalid-policy` where it does not type, is too large, or can cost too much with facts of such sizes */
export function analyse(expression: Expr, sizes: Sizes): Analysis & Pick<Walk, 'facts' | 'fields'> {
  const walk: Walk = { sizes, facts: new Set(), fields: new Set(), nodes: 0 };
  const found = visit(walk, expression, undefined, 0, 0);
  if (found.steps > celLimits.steps) {
    const loop = [...walk.facts].map((name) => [name, sizes.counts[name] ?? 0] as const).toSorted((a, b) => b[1] - a[1])[0];
    const over = loop === undefined || loop[1] === 0 ? '' : ` with ${loop[1]} ${loop[0]}`;
    const why = `the expression can take ${inWords(found.steps)} steps${over}, more than the ${inWords(celLimits.steps)} allowed`;
    throw refuseExpression('expression-loops', why, 'Loop over the smaller list, and not within a loop over a long one');
  }
  const made = `the expression can make ${inWords(found.bytes)} bytes of lists and texts, more than the ${inWords(celLimits.bytes)} allowed`;
  if (found.bytes > celLimits.bytes) throw refuseExpression('expression-allocates', made, 'Use exists, all or filter with a test instead of making lists and texts in a loop');
  return { ...found, facts: walk.facts, fields: walk.fields };
}

function visit(walk: Walk, expression: Expr, scope: Scope | undefined, depth: number, loops: number): Analysis {
  if (++walk.nodes > celLimits.nodes) throw refuseExpression('expression-too-large', `the expression has more than ${celLimits.nodes} parts`, 'Split it into several rules');
  if (depth > celLimits.depth) throw tooDeep();
  const { exprKind } = expression;
  const go = (inner: Expr | undefined) => visit(walk, inner ?? malformed(), scope, depth + 1, loops);
  switch (exprKind.case) {
    case 'constExpr':
      return { type: constantType(exprKind.value.constantKind), steps: 1, bytes: 0 };
    case 'identExpr':
      return { type: variable(walk, exprKind.value.name, scope), steps: 1, bytes: 0 };
    case 'selectExpr': {
      const operand = go(exprKind.value.operand);
      walk.fields.add(exprKind.value.field);
      const type = fieldOf(operand.type, exprKind.value.field);
      return { ...operand, type: exprKind.value.testOnly ? { kind: 'bool' } : type, steps: operand.steps + 1 };
    }
    case 'listExpr': {
      const elements = exprKind.value.elements.map(go);
      let of: Type = { kind: 'any' };
      for (const { type } of elements) of = joined(of, type) ?? mismatch(`a list holds both ${nameOf(of)} and ${nameOf(type)}`);
      return { type: { kind: 'list', of, size: elements.length }, steps: 1 + sum(elements, 'steps'), bytes: 16 * (1 + elements.length) + sum(elements, 'bytes') };
    }
    case 'callExpr':
      return call(exprKind.value, go);
    case 'comprehensionExpr':
      return comprehension(walk, exprKind.value, scope, depth, loops);
    default:
      throw refuseExpression('expression-type', 'records and maps cannot be written in an expression', 'Compare fields one by one');
  }
}

function call({ function: name, target, args }: Expr_Call, go: (one: Expr) => Analysis): Analysis {
  const parts = [...(target === undefined ? [] : [target]), ...args].map(go);
  const literal = args[0]?.exprKind.case === 'constExpr' && args[0].exprKind.value.constantKind.case === 'stringValue' ? args[0].exprKind.value.constantKind.value : undefined;
  const { type, steps, bytes } = callType(name, target !== undefined, parts.map((part) => part.type), literal);
  return { type, steps: steps + sum(parts, 'steps'), bytes: bytes + sum(parts, 'bytes') };
}

/** What a macro is expanded to (`all`, `exists`, `exists_one`, `filter`, `map`). The step is evaluated at most once an element. */
function comprehension(walk: Walk, { iterVar, iterRange, accuInit, loopCondition, loopStep, result }: Expr_Comprehension, scope: Scope | undefined, depth: number, loops: number): Analysis {
  if (loops >= celLimits.loops) throw refuseExpression('expression-too-deep', `the expression loops within ${celLimits.loops} loops`, 'Split it into several rules');
  const range = visit(walk, iterRange ?? malformed(), scope, depth + 1, loops);
  if (range.type.kind !== 'list' && range.type.kind !== 'map') return mismatch(`${nameOf(range.type)} is no list to look through`);
  const element: Type = range.type.kind === 'list' ? range.type.of : { kind: 'string', size: walk.sizes.text };
  const start = visit(walk, accuInit ?? malformed(), scope, depth + 1, loops);
  const { size } = range.type;
  // A list that is gathered is as long as what is looked through; its elements are what the step adds.
  const made = gatheredElement(loopStep);
  const within = (type: Type): Scope => ({ name: iterVar, type: element, outer: { name: gathered, type, outer: scope } });
  const added = made === undefined ? undefined : visit(walk, made, within(start.type), depth + 1, loops + 1);
  const total: Type = added === undefined ? start.type : { kind: 'list', of: added.type, size };
  const inner = within(total);
  const step = visit(walk, loopStep ?? malformed(), inner, depth + 1, loops + 1);
  const goes = visit(walk, loopCondition ?? malformed(), inner, depth + 1, loops + 1);
  const end = visit(walk, result ?? malformed(), inner, depth + 1, loops + 1);
  return {
    type: made === undefined ? end.type : total,
    steps: range.steps + start.steps + end.steps + size * (step.steps + goes.steps + 1),
    bytes: range.bytes + start.bytes + end.bytes + size * (step.bytes + goes.bytes + 16),
  };
}

/** In the step of `map` and `filter`: the element that is put behind what was gathered. */
function gatheredElement(step: Expr | undefined): Expr | undefined {
  const kind = step?.exprKind;
  if (kind?.case !== 'callExpr') return undefined;
  if (kind.value.function === '_?_:_') return gatheredElement(kind.value.args[1]);
  const [list, more] = kind.value.args;
  const appends = kind.value.function === append && list?.exprKind.case === 'identExpr' && list.exprKind.value.name === gathered;
  return appends && more?.exprKind.case === 'listExpr' ? more.exprKind.value.elements[0] : undefined;
}

/** What `map` and `filter` gather with, in the place of `+`: a list that is made anew at each element would take time by the square. */
export const append = '@append';

function variable(walk: Walk, name: string, scope: Scope | undefined): Type {
  for (let at = scope; at !== undefined; at = at.outer) if (at.name === name) return at.type;
  if (Object.hasOwn(factSpecs, name)) {
    const fact = name as FactName;
    walk.facts.add(fact);
    return typeOf(factSpecs[fact], fact, walk.sizes);
  }
  throw refuseExpression('expression-type', `there is no "${name}"`, hintFor(name, Object.keys(factSpecs)));
}

function fieldOf(type: Type, field: string): Type {
  if (type.kind !== 'record') return type.kind === 'map' ? type.of : mismatch(`${nameOf(type)} has no field "${field}"`);
  const spec = Object.hasOwn(type.fields, field) ? type.fields[field] : undefined;
  if (spec !== undefined) return typeOf(spec, `${type.path}.${field}`, type.sizes);
  throw refuseExpression('expression-type', `${type.path} has no field "${field}"`, hintFor(field, Object.keys(type.fields), 'It has'));
}

function constantType(constant: { readonly case?: string | undefined; readonly value?: unknown }): Type {
  switch (constant.case) {
    case 'boolValue':
      return { kind: 'bool' };
    case 'int64Value':
      return { kind: 'int' };
    case 'doubleValue':
      return { kind: 'double' };
    case 'stringValue':
      return { kind: 'string', size: String(constant.value).length };
    default:
      throw refuseExpression('expression-type', 'facts hold no null, bytes and unsigned numbers', 'Use has(x.y) to ask whether a field is there');
  }
}

function sum(parts: readonly Cost[], what: 'steps' | 'bytes'): number {
  return parts.reduce((total, part) => total + part[what], 0);
}

function mismatch(why: string): never {
  throw refuseExpression('expression-type', why, 'Types of facts: docs/guides/policy.md');
}

function malformed(): never {
  throw refuseExpression('expression-malformed', 'the expression is malformed', 'See cel.dev for the language');
}

function inWords(number: number): string {
  return number >= 1e12 ? 'more than 10^12' : String(Math.round(number)).replaceAll(/\B(?=(\d{3})+$)/g, ',');
}
