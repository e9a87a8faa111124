import { createContext, Script } from 'node:vm';
import { celEnv, celFunc, celList, celMethod, CelScalar, isCelError, listType, objectType, parse, plan, type CelInput, type CelList, type CelValue } from '@bufbuild/cel';
import type { Expr } from '@bufbuild/cel-spec/cel/expr/syntax_pb.js';
import { TimestampSchema } from '@bufbuild/protobuf/wkt';
import { RE2JS } from '@bufbuild/re2';
import { CairnError } from '#core';
import { analyse, append, gathered, type Analysis } from './cel-check.ts';
import { timeParts } from './cel-functions.ts';
import { partOf } from './cel-time.ts';
import { celLimits, refuseExpression, requireParsable } from './cel-limits.ts';
import type { Sizes } from './cel-types.ts';
import type { FactName } from './facts.ts';

// Expressions over facts, by the CEL of Buf. It has no limits of its own: what is larger or costs more than celLimits allow is refused
// before it runs.

export interface Compiled {
  readonly source: string;
  readonly expression: Expr;
  /** What it can cost with facts of these sizes. @throws CairnError `invalid-policy` over the limits */
  cost(sizes: Sizes): Analysis;
  readonly facts: readonly FactName[];
  /** Fields that it reads of records. */
  readonly fields: ReadonlySet<string>;
}

/** A value, or why there is none. */
export type Outcome = { readonly value: CelValue } | { readonly error: string };
export type Bindings = Readonly<Record<string, CelInput>>;

/** Each text once: what a policy of one digest says is always the same. The oldest make room. */
const known = new Map<string, Compiled>();
const mostKnown = 2000;

/** @throws CairnError `invalid-policy`: malformed, of no type bool, or larger than anything may be */
export function compile(source: string): Compiled {
  const found = known.get(source) ?? compileNew(source);
  known.delete(source);
  known.set(source, found);
  const [oldest] = known.keys();
  if (known.size > mostKnown && oldest !== undefined) known.delete(oldest);
  return found;
}

function compileNew(source: string): Compiled {
  requireParsable(source);
  let expression: Expr | undefined;
  try {
    expression = parse(source).expr;
  } catch (cause) {
    const message = cause instanceof Error ? cause.message.replace(/^<input>:1:/, 'column ').split(' but expecting')[0] : 'malformed';
    throw refuseExpression('expression-malformed', `the expression is no CEL: ${message}`, 'See cel.dev for the language');
  }
  if (expression === undefined) throw refuseExpression('expression-malformed', 'the expression is empty', 'See cel.dev for the language');
  gatherInPlace(expression);
  const { facts, fields, type } = analyse(expression, { counts: {}, text: 1 });
  if (type.kind !== 'bool') throw refuseExpression('expression-type', `the expression gives ${type.kind}, not bool`, 'Compare it with something');
  const whole = expression;
  return { source, expression, facts: [...facts], fields, cost: (actual) => analyse(whole, actual) };
}

/** Has `map` and `filter` put each element behind those gathered before: they write `@result + [x]`, which copies or chains at each. */
function gatherInPlace(expression: Expr): void {
  const { exprKind } = expression;
  const go = (inner: Expr | undefined) => inner && gatherInPlace(inner);
  switch (exprKind.case) {
    case 'selectExpr':
      return go(exprKind.value.operand);
    case 'listExpr':
      return exprKind.value.elements.forEach(go);
    case 'callExpr':
      go(exprKind.value.target);
      return exprKind.value.args.forEach(go);
    case 'comprehensionExpr': {
      const { loopStep, iterRange, accuInit, loopCondition, result } = exprKind.value;
      rename(loopStep);
      return [loopStep, iterRange, accuInit, loopCondition, result].forEach(go);
    }
    default:
      return undefined;
  }
}

function rename(step: Expr | undefined): void {
  const kind = step?.exprKind;
  if (kind?.case !== 'callExpr') return;
  if (kind.value.function === '_?_:_') return rename(kind.value.args[1]);
  const [list, more] = kind.value.args;
  if (kind.value.function === '_+_' && list?.exprKind.case === 'identExpr' && list.exprKind.value.name === gathered && more?.exprKind.case === 'listExpr') kind.value.function = append;
}

const LIST = listType(CelScalar.DYN);
const growing = new WeakMap<CelList, CelValue[]>();

function appendTo(list: CelList, more: CelList): CelList {
  const buffer = growing.get(list);
  if (buffer !== undefined) {
    buffer.push(...more);
    return list;
  }
  const fresh = [...list, ...more];
  const made = celList(fresh as CelInput[]);
  growing.set(made, fresh);
  return made;
}

const patterns = new Map<string, RE2JS>();
function patternOf(text: string): RE2JS {
  const compiled = patterns.get(text) ?? RE2JS.compile(text);
  if (patterns.size > mostKnown) patterns.clear();
  patterns.set(text, compiled);
  return compiled;
}

const TIME = objectType(TimestampSchema);
const environment = celEnv({
  funcs: [
    celFunc(append, [LIST, LIST], LIST, appendTo),
    celFunc('_+_', [LIST, LIST], LIST, (a, b) => celList([...a, ...b] as CelInput[])),
    celMethod('matches', CelScalar.STRING, [CelScalar.STRING], CelScalar.BOOL, function (pattern) { return patternOf(pattern).test(this); }),
    ...timeParts.flatMap((name) => [
      celMethod(name, TIME, [], CelScalar.INT, function () { return partOf(name, this.message, undefined); }),
      celMethod(name, TIME, [CelScalar.STRING], CelScalar.INT, function (zone) { return partOf(name, this.message, zone); }),
    ]),
  ],
});
const plans = new WeakMap<Expr, (bindings: Bindings) => Outcome>();

/** Of an expression, or of a part of one, whose cost is known. @throws CairnError `internal` where it takes longer than anything may */
export function evaluate(expression: Expr, bindings: Bindings): Outcome {
  const known = plans.get(expression);
  const run = known ?? planned(expression);
  if (known === undefined) plans.set(expression, run);
  return run(bindings);
}

function planned(expression: Expr): (bindings: Bindings) => Outcome {
  const run = plan(environment, expression);
  return (bindings) => {
    const value = run(bindings as Record<string, CelInput>);
    return isCelError(value) ? { error: value.message } : { value };
  };
}

const script = new Script('work()');
const room: { work: () => unknown } = createContext({ work: () => undefined }) as never;

let watched = false;

/**
 * A time-out is no verdict: what was computed to be bounded and is not is a defect of ours. Who watches has a thread, which takes longer to
 * begin than most expressions take: one watch goes around as much as can be, and within it there is no other. @throws CairnError `internal`
 */
export function withinPatience<T>(work: () => T, milliseconds: number = celLimits.patienceMs): T {
  if (watched) return work();
  watched = true;
  try {
    room.work = work;
    return script.runInContext(room, { timeout: milliseconds }) as T;
  } catch (cause) {
    if (cause instanceof CairnError) throw cause;
    throw new CairnError('internal', `an expression of the policy could not be evaluated: ${cause instanceof Error ? cause.message : 'unknown'}`, { cause, fix: 'cairn policy check FILE; nothing was decided, ask again' });
  } finally {
    watched = false;
    room.work = () => undefined;
  }
}
