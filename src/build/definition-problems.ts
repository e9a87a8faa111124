import type { z } from 'zod';
import { nearestName } from '#core';
import { definitionJsonSchema, type JsonSchema } from './definition-schema.ts';

export type Path = readonly (string | number)[];

/** Something wrong with cairn.yaml, and where. */
export interface Problem {
  readonly path: Path;
  /** Whether the place is the key or the value at the path. */
  readonly at: 'key' | 'value';
  readonly text: string;
  readonly fix?: string;
  readonly unknown?: boolean;
}

type Issue = z.core.$ZodIssue;

/** What the schema complains of, in words of cairn.yaml. */
export function problemsOf(issues: readonly Issue[], value: unknown): Problem[] {
  const problems = issues.flatMap((issue) => problemsOfIssue(issue, [], value));
  // What a wrong spelling leaves missing is no problem of its own.
  const mended = problems.filter((one) => one.unknown !== true || one.fix === undefined).length;
  const guessed = problems.flatMap(({ unknown, fix, path }) =>
    unknown === true && fix !== undefined ? [JSON.stringify([...path.slice(0, -1), /"(.*)"/.exec(fix)?.[1]])] : [],
  );
  return mended === 0 ? problems : problems.filter((one) => one.unknown === true || !guessed.includes(JSON.stringify(one.path)));
}

function problemsOfIssue(issue: Issue, above: Path, value: unknown): Problem[] {
  const path = [...above, ...(issue.path as (string | number)[])];
  const found = valueAt(value, path);
  const last = path.at(-1) ?? 'cairn.yaml';
  const name = typeof last === 'number' ? `${path.at(-2)}[${last}]` : last;
  switch (issue.code) {
    case 'unrecognized_keys':
      return issue.keys.map((key) => unknownKey(key, path, value));
    case 'invalid_union': {
      if (issue.errors.length === 0)
        return [
          {
            path,
            at: 'value',
            text: `${found === undefined ? `${ownerOf(path)} needs "${name}"` : `unknown ${name} ${JSON.stringify(found)}`}: web, worker, cron, task or files`,
          },
        ];
      if (found === undefined)
        return [
          {
            path,
            at: 'value',
            text: `${ownerOf(path)} needs "${name}"`,
            ...(name === 'health' && { fix: 'health: { path: /healthz }, or health: { tcp: true }' }),
          },
        ];
      // The branch that was meant is the one with the least to complain of.
      const meant = issue.errors.map((errors) => errors.flatMap((one) => problemsOfIssue(one, path, value))).toSorted((a, b) => a.length - b.length)[0];
      return meant ?? [{ path, at: 'value', text: issue.message }];
    }
    case 'invalid_key':
      return [{ path, at: 'key', text: `"${name}" is no name: ${issue.issues[0]?.message ?? 'malformed'}` }];
    case 'invalid_type': {
      if (found === undefined) return [{ path, at: 'value', text: `${ownerOf(path)} needs "${name}"` }];
      const quoted = issue.expected === 'string' && ['number', 'boolean'].includes(typeof found);
      return [
        {
          path,
          at: 'value',
          text: `"${name}" is ${named(found)}, ${wanted[issue.expected] ?? `not ${issue.expected}`} is wanted`,
          ...(quoted && { fix: `Put it in quotes: "${String(found)}"` }),
        },
      ];
    }
    case 'invalid_value':
      return [{ path, at: 'value', text: `"${name}" is ${JSON.stringify(found)}, wanted is ${issue.values.map(String).join(' or ')}` }];
    default:
      return [{ path, at: 'value', text: path.length === 0 ? issue.message : `"${name}": ${issue.message}` }];
  }
}

const wanted: Readonly<Record<string, string>> = {
  string: 'text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  array: 'a list',
  object: 'a mapping',
  record: 'a mapping',
};

function named(value: unknown): string {
  if (value === null) return 'empty';
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object') return 'a mapping';
  return typeof value === 'string' ? 'text' : `${typeof value === 'number' ? 'the number ' : ''}${String(value)}`;
}

/** `components.web`, or the file. */
function ownerOf(path: Path): string {
  const owner = path
    .slice(0, -1)
    .map((part) => (typeof part === 'number' ? `[${part}]` : `.${part}`))
    .join('')
    .replace(/^\./, '');
  return owner === '' ? 'cairn.yaml' : owner;
}

function unknownKey(key: string, path: Path, value: unknown): Problem {
  const place = { path: [...path, key], at: 'key', unknown: true } as const;
  const text = `unknown key "${key}"${path.length === 0 ? '' : ` in ${ownerOf([...path, key])}`}`;
  const here = levelsAt(definitionJsonSchema(), path, value).flatMap((level) => Object.keys(level.properties ?? {}));
  const nearest = nearestName(key, here);
  if (nearest !== undefined) return { ...place, text, fix: `Did you mean "${nearest}"?` };
  const kind = valueAt(value, [...path, 'kind']);
  const kinds = levelsAt(definitionJsonSchema(), path, undefined).flatMap(({ properties }) =>
    properties?.['kind']?.const !== undefined && key in properties ? [String(properties['kind'].const)] : [],
  );
  if (kinds.length > 0) return { ...place, text: `a ${String(kind)} has no "${key}"`, fix: `"${key}" is for kind: ${kinds.join(', ')}` };
  return { ...place, text, fix: here.length === 0 ? 'Remove it' : `Known here: ${here.join(', ')}` };
}

/** The mappings that may stand at the path; of components only the one of the kind that is written there. */
function levelsAt(schema: JsonSchema, path: Path, value: unknown): JsonSchema[] {
  const branches = schema.anyOf ?? schema.oneOf;
  if (branches !== undefined) {
    const kind = valueAt(value, ['kind']);
    const same = branches.filter(({ properties }) => kind !== undefined && properties?.['kind']?.const === kind);
    return (same.length > 0 ? same : branches).flatMap((branch) => levelsAt(branch, path, value));
  }
  const [head, ...rest] = path;
  if (head === undefined) return [schema];
  const { additionalProperties } = schema;
  const next =
    typeof head === 'number' ? schema.items : (schema.properties?.[head] ?? (typeof additionalProperties === 'object' ? additionalProperties : undefined));
  return next === undefined ? [] : levelsAt(next, rest, valueAt(value, [head]));
}

function valueAt(value: unknown, path: Path): unknown {
  let at = value;
  for (const part of path) {
    if (typeof at !== 'object' || at === null) return undefined;
    at = (at as Record<string | number, unknown>)[part];
  }
  return at;
}
