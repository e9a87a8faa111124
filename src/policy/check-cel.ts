import type { Expr } from '@bufbuild/cel-spec/cel/expr/syntax_pb.js';
import { CairnError, hintFor } from '#core';
import type { Report } from './check.ts';
import { analyse } from './cel-check.ts';
import { textOf } from './cel-text.ts';
import { declaredSizes } from './cel-types.ts';
import { compile, evaluate, withinPatience } from './cel.ts';
import type { Policy, Rule } from './policy.ts';

// What is wrong with an expression before it is signed: its types, what it can cost with an application of a common size, parts that are the
// same whatever the facts are, and names in it that nobody has.

export function checkExpression(policy: Policy, { expression: source }: Extract<Rule, { kind: 'cel' }>, where: string, report: Report): void {
  try {
    const { expression, cost } = compile(source);
    cost(declaredSizes);
    withinPatience(() => checkConstants(expression, true, where, report));
    for (const complaint of strangeNames(policy, expression)) report('warning', where, complaint.text, complaint.fix);
  } catch (error) {
    if (!(error instanceof CairnError) || error.code !== 'invalid-policy') throw error;
    report('error', where, error.message, error.fix ?? 'See docs/guides/policy.md');
  }
}

/** A part that reads no fact is the same at every decision. */
function checkConstants(part: Expr, whole: boolean, where: string, report: Report): void {
  const call = part.exprKind.case === 'callExpr' ? part.exprKind.value : undefined;
  if (analyse(part, declaredSizes).facts.size > 0) {
    if (call?.function === '_&&_' || call?.function === '_||_') call.args.forEach((one) => checkConstants(one, false, where, report));
    return;
  }
  const outcome = evaluate(part, {});
  const value = 'value' in outcome && outcome.value === true;
  const text = textOf(part);
  if (whole) report(value ? 'warning' : 'error', where, value ? `${text} is always true: the rule says nothing` : `${text} is never true: the rule lets nothing in`, 'Ask for a fact: docs/guides/policy.md lists them');
  else report('warning', where, `the part ${text} is always ${'value' in outcome ? String(outcome.value) : 'without an answer'}`, 'Leave it out');
}

type Names = Readonly<Record<string, readonly string[]>>;

/** Values that a field can have. */
function namesOf(policy: Policy): Names {
  const environments = policy.environments.map(({ name }) => name);
  return {
    by: policy.people.map(({ name }) => name), roles: [...new Set(policy.people.flatMap(({ roles }) => roles))], environment: environments, soak: environments, confirmed: environments,
    severity: ['none', 'low', 'medium', 'high', 'critical', 'unknown'], result: ['PASSED', 'WARNED', 'FAILED'], level: ['none', 'note', 'warning', 'error'], direction: ['promote', 'rollback'],
    weekday: ['sunday', 'monday', 'tuesday', 'wednesday', 'thursday', 'friday', 'saturday'], witnesses: (policy.witnesses ?? []).map(({ name }) => name),
  };
}

/** Texts that are compared with something that can never be them. */
function strangeNames(policy: Policy, whole: Expr): { text: string; fix: string }[] {
  const names = namesOf(policy);
  const found: { text: string; fix: string }[] = [];
  const compare = (field: Expr | undefined, ...values: readonly (Expr | undefined)[]) => {
    const name = nameOf(field);
    const known = name === undefined || !Object.hasOwn(names, name) ? undefined : names[name];
    if (known === undefined) return;
    for (const value of values.flatMap((one) => literals(one))) {
      if (known.includes(value)) continue;
      found.push({ text: `${textOf(field)} is never '${value}'`, fix: hintFor(value, known.length === 0 ? ['nothing, by this policy'] : known, 'It can be') });
    }
  };
  const walk = (part: Expr | undefined): void => {
    const kind = part?.exprKind;
    if (kind?.case === 'selectExpr') walk(kind.value.operand);
    if (kind?.case === 'listExpr') kind.value.elements.forEach(walk);
    if (kind?.case === 'comprehensionExpr') [kind.value.iterRange, kind.value.loopStep].forEach(walk);
    if (kind?.case !== 'callExpr') return;
    const [a, b] = kind.value.args;
    if (kind.value.function === '_==_') {
      compare(a, b);
      compare(b, a);
    }
    if (kind.value.function === '@in') {
      compare(b, a);
      compare(a, b);
    }
    if (kind.value.function === '_[_]') compare(a, b);
    walk(kind.value.target);
    kind.value.args.forEach(walk);
  };
  walk(whole);
  return found;
}

function nameOf(part: Expr | undefined): string | undefined {
  if (part?.exprKind.case === 'selectExpr' && !part.exprKind.value.testOnly) return part.exprKind.value.field;
  return part?.exprKind.case === 'identExpr' ? part.exprKind.value.name : undefined;
}

function literals(part: Expr | undefined): string[] {
  if (part?.exprKind.case === 'listExpr') return part.exprKind.value.elements.flatMap(literals);
  if (part?.exprKind.case !== 'constExpr') return [];
  const { constantKind } = part.exprKind.value;
  return constantKind.case === 'stringValue' ? [constantKind.value] : [];
}
