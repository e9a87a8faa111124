import { celList, celMap, type CelInput } from '@bufbuild/cel';
import { create } from '@bufbuild/protobuf';
import { DurationSchema, TimestampSchema } from '@bufbuild/protobuf/wkt';
import type { Plain, Sizes, Spec } from './cel-types.ts';

// What CEL expressions can see, declared once: what `policy check` types them against, what a decision fills in, what the guide lists.

const bool = { kind: 'bool' } as const;
const int = { kind: 'int' } as const;
const text = { kind: 'string' } as const;
const time = { kind: 'timestamp' } as const;
const span = { kind: 'duration' } as const;
const list = <const S extends Spec>(of: S) => ({ kind: 'list', of }) as const;
const maybe = <const S extends Spec>(of: S) => ({ kind: 'optional', of }) as const;
const record = <const F extends Readonly<Record<string, Spec>>>(fields: F) => ({ kind: 'record', fields }) as const;

/** Who said it, by the policy: the person, the person's roles, when the log first proved it and where. */
const said = { by: text, roles: list(text), machine: bool, at: time, entry: int } as const;

export const factSpecs = {
  release: record({ digest: text, application: text, commit: text, source: text, clean: bool, components: list(text), since: maybe(time) }),
  question: record({ environment: text, direction: text, by: text, roles: list(text) }),
  now: time,
  calendar: record({ year: int, month: int, day: int, weekday: text, hour: int, minute: int, date: text }),
  age: span,
  confirmed: list(text),
  soak: { kind: 'map', of: span } as const,
  provenance: list(record({ ...said, commit: text, source: text, builder: text })),
  sboms: list(record({ ...said, packages: int, subjects: list(text) })),
  packages: list(record({ ...said, name: text, version: text, purl: text, type: text, licenses: list(text) })),
  tests: list(record({ ...said, result: text, passed: maybe(int), failed: maybe(int) })),
  scans: list(record({ ...said, scanner: text, finished: maybe(time), vulnerabilities: int, subjects: list(text) })),
  vulnerabilities: list(record({ ...said, id: text, package: text, severity: text, rank: int, score: maybe({ kind: 'double' } as const), fixed: maybe(text), scanner: text })),
  findings: list(record({ ...said, tool: text, rule: text, level: text, rank: int })),
  approvals: list(record({ ...said, expires: time })),
  signatures: list(record(said)),
  witnessed: record({ size: int, witnesses: list(text), covers: bool }),
} as const satisfies Readonly<Record<string, Spec>>;

export type FactName = keyof typeof factSpecs;
export type FactsByName = { readonly [N in FactName]: Plain<(typeof factSpecs)[N]> };

/** What each is, for people. */
export const factTexts: Readonly<Record<FactName, string>> = {
  release: 'the release: digest, application, commit, declared source (empty where there is none), whether it is the commit as it is, digests of its components, when the log first heard of it',
  question: 'what is asked: environment, direction (`promote` or `rollback`), who asks, and the roles of who asks',
  now: "the log's time, as the decision is made",
  calendar: 'the same in UTC: `weekday` is `monday` to `sunday`, `date` is `2026-01-31`. Elsewhere: `now.getHours("Europe/Berlin")`',
  age: 'since the log first heard of the release; nothing where it never did',
  confirmed: 'environments in which it was ever confirmed',
  soak: 'by such an environment, since the first confirmation there',
  provenance: 'builds of exactly this release, of the commit that it names',
  sboms: 'bills of materials of its components',
  packages: 'what they list, each package once a bill. `type` is that of the purl: npm, golang, ...',
  tests: 'test results, oldest first. `result` is PASSED, WARNED or FAILED',
  scans: 'for each component, the newest scan by each scanner',
  vulnerabilities: 'what those found. `rank`: none 0, low 1, medium 2, high 3, critical 4, unknown 5',
  findings: 'what the newest report of each tool found. `rank`: none 0, note 1, warning 2, error 3',
  approvals: 'of this release for this environment, unexpired, the newest of each person. Who asks is not among them',
  signatures: 'each who signed it and said no more, as `cosign sign` does',
  witnessed: 'the newest checkpoint that witnesses of the policy cosigned: its size, who, and whether it covers every statement that is weighed',
};

/** Facts as CEL takes them, and how large they are. Of records only `fields`, where they are given: an expression reads few of them. */
export function celFacts(names: readonly FactName[], facts: FactsByName, only?: ReadonlySet<string>): { readonly values: Readonly<Record<string, CelInput>>; readonly sizes: Sizes } {
  const counts: Record<string, number> = {};
  const measure: Measure = { counts, text: 0, only };
  const values = Object.fromEntries(names.map((name) => [name, converter(factSpecs[name], name, measure)(facts[name])]));
  return { values, sizes: measure };
}

interface Measure {
  readonly counts: Record<string, number>;
  text: number;
  readonly only: ReadonlySet<string> | undefined;
}

/** What turns a value of the spec into one of CEL, made once for all elements of a list: there are thousands of some. */
function converter(spec: Spec, path: string, measure: Measure): (value: unknown) => CelInput {
  switch (spec.kind) {
    case 'bool':
    case 'double':
      return (value) => value as boolean | number;
    case 'int':
      // A JSON number would be a double in CEL.
      return (value) => BigInt(value as number);
    case 'string':
      return (value) => {
        const { length } = value as string;
        if (length > measure.text) measure.text = length;
        return value as string;
      };
    case 'timestamp':
      return (value) => create(TimestampSchema, { seconds: BigInt(Math.floor(value as number)) });
    case 'duration':
      return (value) => create(DurationSchema, { seconds: BigInt(Math.floor(value as number)) });
    case 'optional':
      return converter(spec.of, path, measure);
    case 'list': {
      const one = converter(spec.of, path, measure);
      return (value) => {
        const all = value as readonly unknown[];
        measure.counts[path] = Math.max(measure.counts[path] ?? 0, all.length);
        return celList(all.map(one));
      };
    }
    case 'map': {
      const one = converter(spec.of, path, measure);
      return (value) => {
        const entries = Object.entries(value as Readonly<Record<string, unknown>>);
        measure.counts[path] = Math.max(measure.counts[path] ?? 0, entries.length);
        return celMap(new Map(entries.map(([key, each]) => [key, one(each)])));
      };
    }
    case 'record': {
      const fields = Object.entries(spec.fields).filter(([name]) => measure.only?.has(name) !== false)
        .map(([name, of]) => ({ name, optional: of.kind === 'optional', one: converter(of, `${path}.${name}`, measure) }));
      return (value) => {
        const made = new Map<string, CelInput>();
        for (const { name, optional, one } of fields) {
          const given = (value as Readonly<Record<string, unknown>>)[name];
          if (!optional || given !== undefined) made.set(name, one(given));
        }
        return celMap(made);
      };
    }
    default:
      return spec satisfies never;
  }
}

/** Every fact with its type, for people. */
export function factTable(): { readonly name: string; readonly is: string }[] {
  return (Object.keys(factSpecs) as FactName[]).map((name) => ({ name, is: `${shapeOf(factSpecs[name])}: ${factTexts[name]}` }));
}

function shapeOf(spec: Spec): string {
  switch (spec.kind) {
    case 'list':
      return `list of ${shapeOf(spec.of)}`;
    case 'map':
      return `map of ${shapeOf(spec.of)}`;
    case 'optional':
      return `${shapeOf(spec.of)}, or absent`;
    case 'record':
      return `{${Object.keys(spec.fields).filter((name) => !('entry' in spec.fields && name in said)).map((name) => `${name}${spec.fields[name]?.kind === 'optional' ? '?' : ''}`).join(', ')}}`;
    default:
      return spec.kind;
  }
}
