import { isMap, isPair, isScalar, LineCounter, parseDocument, type Document, type Node } from 'yaml';
import { z } from 'zod';
import { CairnError, canonicalJson, hintFor } from '#core';
import type { PolicyVersion } from './chain.ts';
import { parsePolicy, policySchema, type Policy } from './policy.ts';

// The policy as people write it: YAML or JSON, with what can be told from the version before it left out. What is signed is its canonical JSON.

type Path = readonly (string | number)[];
interface Problem {
  readonly path: Path;
  readonly key: boolean;
  readonly text: string;
  readonly fix: string | undefined;
}
interface JsonSchema {
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly items?: JsonSchema;
  readonly anyOf?: readonly JsonSchema[];
  readonly oneOf?: readonly JsonSchema[];
  readonly const?: unknown;
  readonly additionalProperties?: JsonSchema | boolean;
}

const mostBytes = 1 << 20;
const deepest = 64;
const manyMarks = /(?:[-?:][ \t]+){32}/;
/** Named in a file, or taken from the version in force. */
const told = ['kind', 'version', 'previous'] as const;

/**
 * Reads a policy that follows the version `before`, or a first one. @throws CairnError `invalid-policy`: the first thing that is wrong with
 * its line and, where there is one, the nearest name; the others in `context.lines`
 */
export function readPolicyFile(text: string, file: string, before: Pick<PolicyVersion, 'policy' | 'digest'> | undefined): Policy {
  if (Buffer.byteLength(text) > mostBytes) throw new CairnError('invalid-policy', `${file} is larger than ${mostBytes} bytes`, { fix: 'Split it: a policy is for people to read' });
  const lines = new LineCounter();
  const document = documentOf(text, file, lines);
  const [error] = document.errors;
  if (error !== undefined) {
    const { line, col } = lines.linePos(error.pos[0]);
    throw new CairnError('invalid-policy', `${file}:${line}:${col}: ${error.message.split('\n')[0]?.replace(/ at line.*$/, '') ?? 'is no YAML'}`, { fix: `Mend ${file}`, context: { line, column: col } });
  }
  const value = filled(plain(document, file), before);
  const parsed = policySchema.safeParse(value);
  if (!parsed.success) throw refusal(parsed.error.issues.flatMap((issue) => problemsOf(issue, [], value)), document, lines, file);
  try {
    return parsePolicy(canonicalJson(parsed.data));
  } catch (cause) {
    if (!(cause instanceof CairnError)) throw cause;
    throw new CairnError('invalid-policy', `${file}: ${cause.message.replace(/^policy: /, '')}`, { cause, fix: cause.fix ?? `Mend ${file}` });
  }
}

/**
 * The parser calls itself for each level, and looks at a line again for each of its marks: forty kilobytes of `? ` would keep it for hours. No
 * policy nests so deep, also where the brackets in its expressions are counted in.
 */
function documentOf(text: string, file: string, lineCounter: LineCounter): Document.Parsed {
  const refuse = (why: string, cause?: unknown) => new CairnError('invalid-policy', `${file} cannot be read: ${why}`, { cause, fix: `Mend ${file}` });
  let level = 0;
  for (const mark of text.matchAll(/[[\]{}]/g)) {
    level += mark[0] === '[' || mark[0] === '{' ? 1 : -1;
    if (level > deepest) throw refuse('it is nested too deep');
  }
  if (manyMarks.test(text)) throw refuse('it is nested too deep');
  try {
    return parseDocument(text, { lineCounter, uniqueKeys: true });
  } catch (cause) {
    throw refuse(cause instanceof RangeError ? 'it is nested too deep' : (cause as Error).message, cause);
  }
}

/** Aliases are bounded by the parser: a file of a few lines must not unfold into all of memory. */
function plain(document: Document, file: string): unknown {
  try {
    return document.toJS({ maxAliasCount: 100 });
  } catch (cause) {
    throw new CairnError('invalid-policy', `${file} cannot be read: ${cause instanceof Error ? cause.message : 'malformed'}`, { cause, fix: 'Use no aliases' });
  }
}

function filled(value: unknown, before: Pick<PolicyVersion, 'policy' | 'digest'> | undefined): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  const { environments, ...rest } = value as Record<string, unknown>;
  const version = before === undefined ? 1 : before.policy.version + 1;
  const rules = (one: unknown) => (isRecord(one) ? { blocksRollback: false, ...one } : one);
  const environment = (one: unknown) => (isRecord(one) && Array.isArray(one['rules']) ? { ...one, rules: one['rules'].map(rules) } : one);
  return { kind: 'policy', version, ...(before !== undefined && { previous: before.digest }), ...rest, ...(environments !== undefined && { environments: Array.isArray(environments) ? environments.map(environment) : environments }) };
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** What editors complete and check by: the form of the file, where what is filled in may be missing. */
export function policyJsonSchema(): JsonSchema {
  const schema = structuredClone(z.toJSONSchema(policySchema, { unrepresentable: 'any', io: 'input', target: 'draft-7' })) as Record<string, unknown> & { required?: string[] };
  const loosen = (at: unknown): void => {
    if (Array.isArray(at)) at.forEach(loosen);
    if (!isRecord(at)) return;
    if (Array.isArray(at['required'])) at['required'] = at['required'].filter((name) => name !== 'blocksRollback');
    Object.values(at).forEach(loosen);
  };
  loosen(schema);
  schema.required = (schema.required ?? []).filter((name) => !(told as readonly string[]).includes(name));
  return { title: 'The policy of a Cairn: who may do what, and what an environment asks for', ...schema } as JsonSchema;
}

function problemsOf(issue: z.core.$ZodIssue, above: Path, value: unknown): Problem[] {
  const path: Path = [...above, ...(issue.path as (string | number)[])];
  const name = typeof path.at(-1) === 'number' ? `${String(path.at(-2))}[${String(path.at(-1))}]` : (path.at(-1) ?? 'the policy');
  const found = valueAt(value, path);
  switch (issue.code) {
    case 'unrecognized_keys':
      return issue.keys.map((key) => {
        const known = knownAt(policyJsonSchema(), path, value);
        return { path: [...path, key], key: true, text: `unknown key "${key}"${path.length === 0 ? '' : ` in ${textOf(path)}`}`, fix: hintFor(key, known, 'Known here') };
      });
    case 'invalid_union': {
      if (issue.errors.length > 0) return issue.errors.map((errors) => errors.flatMap((one) => problemsOf(one, path, value))).toSorted((a, b) => a.length - b.length)[0] ?? [];
      const kinds = knownKinds();
      const given = typeof found === 'string' ? found : valueAt(value, [...path, 'kind']);
      return [{ path, key: false, text: given === undefined ? `${textOf(path)} needs a kind` : `unknown kind "${String(given)}"`, fix: hintFor(String(given), kinds, 'Kinds') }];
    }
    case 'invalid_type':
      return [{ path, key: false, text: found === undefined ? `${path.length < 2 ? 'the policy' : textOf(path.slice(0, -1))} needs "${name}"` : `"${name}" must be ${issue.expected}`, fix: undefined }];
    default:
      return [{ path, key: false, text: `"${name}": ${issue.message}`, fix: undefined }];
  }
}

function knownKinds(): string[] {
  const rules = policyJsonSchema().properties?.['environments']?.items?.properties?.['rules']?.items;
  return (rules?.oneOf ?? rules?.anyOf ?? []).map(({ properties }) => String(properties?.['kind']?.const));
}

/** Keys that may stand at the path; of rules only those of the kind that is written there. */
function knownAt(schema: JsonSchema, path: Path, value: unknown): string[] {
  const branches = schema.oneOf ?? schema.anyOf;
  if (branches !== undefined) {
    const kind = valueAt(value, ['kind']);
    const same = branches.filter(({ properties }) => properties?.['kind']?.const === kind);
    return (same.length > 0 ? same : branches).flatMap((branch) => knownAt(branch, path, value));
  }
  const [head, ...rest] = path;
  if (head === undefined) return Object.keys(schema.properties ?? {});
  const { additionalProperties } = schema;
  const next = typeof head === 'number' ? schema.items : (schema.properties?.[head] ?? (typeof additionalProperties === 'object' ? additionalProperties : undefined));
  return next === undefined ? [] : knownAt(next, rest, valueAt(value, [head]));
}

function valueAt(value: unknown, path: Path): unknown {
  return path.reduce<unknown>((at, part) => (typeof at === 'object' && at !== null ? (at as Record<string | number, unknown>)[part] : undefined), value);
}

function textOf(path: Path): string {
  return path.map((part) => (typeof part === 'number' ? `[${part}]` : `.${part}`)).join('').replace(/^\./, '');
}

function refusal(problems: readonly Problem[], document: Document, lines: LineCounter, file: string): CairnError {
  const placed = problems.map((problem) => ({ ...problem, ...lines.linePos(offsetOf(document, problem.path, problem.key)) })).toSorted((a, b) => Number(b.key) - Number(a.key) || a.line - b.line || a.col - b.col);
  const texts = placed.map(({ line, col, text }) => `${file}:${line}:${col}: ${text}`);
  const [first] = placed;
  return new CairnError('invalid-policy', texts[0] ?? `${file} is malformed`, { fix: first?.fix ?? `Mend ${file}`, context: { line: first?.line, column: first?.col, ...(texts.length > 1 && { lines: texts.slice(1, 50) }) } });
}

function offsetOf(document: Document, path: Path, key: boolean): number {
  for (let at = [...path]; at.length > 0; at = at.slice(0, -1)) {
    const holder = at.length === 1 ? document.contents : document.getIn(at.slice(0, -1), true);
    const pair = key && at.length === path.length && isMap(holder) ? holder.items.find((one) => isPair(one) && isScalar(one.key) && String(one.key.value) === String(at.at(-1))) : undefined;
    const node = (pair?.key ?? document.getIn(at, true)) as Node | undefined;
    if (node?.range != null) return node.range[0];
  }
  return 0;
}
