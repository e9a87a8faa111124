// Types of what an expression can see, each with how large its values can be: what a loop costs is known from them before it runs.

/** What a fact is declared as. */
export type Spec =
  | { readonly kind: 'bool' | 'int' | 'double' | 'timestamp' | 'duration' }
  | { readonly kind: 'string' }
  /** Absent where nothing is known: reading it is an error, has() asks. */
  | { readonly kind: 'optional'; readonly of: Spec }
  | { readonly kind: 'list'; readonly of: Spec }
  /** By name. */
  | { readonly kind: 'map'; readonly of: Spec }
  | { readonly kind: 'record'; readonly fields: Readonly<Record<string, Spec>> };

/** A value of a fact before it is given to CEL: times are seconds since 1970, durations seconds. */
export type Plain<S> = S extends { kind: 'bool' } ? boolean
  : S extends { kind: 'string' } ? string
  : S extends { kind: 'int' | 'double' | 'timestamp' | 'duration' } ? number
  : S extends { kind: 'optional'; of: infer E } ? Plain<E> | undefined
  : S extends { kind: 'list'; of: infer E } ? readonly Plain<E>[]
  : S extends { kind: 'map'; of: infer E } ? Readonly<Record<string, Plain<E>>>
  : S extends { kind: 'record'; fields: infer F } ? { readonly [K in keyof F]: Plain<F[K]> }
  : never;

export type Type =
  | { readonly kind: 'bool' | 'int' | 'double' | 'timestamp' | 'duration' }
  /** `any`: the element of a list that is written empty. */
  | { readonly kind: 'any' }
  /** `size`: the most characters. */
  | { readonly kind: 'string'; readonly size: number }
  | { readonly kind: 'list'; readonly of: Type; readonly size: number }
  | { readonly kind: 'map'; readonly of: Type; readonly size: number }
  | { readonly kind: 'record'; readonly fields: Readonly<Record<string, Spec>>; readonly path: string; readonly sizes: Sizes };

/** How large facts are: the most elements of a list or map by its path (`packages`, `packages.licenses`), the longest text. */
export interface Sizes {
  readonly counts: Readonly<Record<string, number>>;
  readonly text: number;
}

/** What `policy check` computes with: an application of a common size. A decision computes with the sizes that its facts have. */
export const declaredSizes: Sizes = {
  counts: { packages: 5000, vulnerabilities: 1000, findings: 1000, provenance: 20, tests: 20, scans: 20, sboms: 20, approvals: 20, signatures: 20 },
  text: 256,
};
const usual = 16;

export function typeOf(spec: Spec, path: string, sizes: Sizes): Type {
  switch (spec.kind) {
    case 'optional':
      return typeOf(spec.of, path, sizes);
    case 'string':
      return { kind: 'string', size: sizes.text };
    case 'list':
    case 'map':
      return { kind: spec.kind, of: typeOf(spec.of, path, sizes), size: sizes.counts[path] ?? usual };
    case 'record':
      return { kind: 'record', fields: spec.fields, path, sizes };
    default:
      return spec;
  }
}

export function nameOf(type: Type): string {
  switch (type.kind) {
    case 'list':
      return type.of.kind === 'any' ? 'list' : `list of ${nameOf(type.of)}`;
    case 'map':
      return `map of ${nameOf(type.of)}`;
    case 'record':
      return `record (${Object.keys(type.fields).slice(0, 4).join(', ')}, ...)`;
    default:
      return type.kind;
  }
}

/** The type that holds values of both, as large as either; undefined where there is none. */
export function joined(a: Type, b: Type): Type | undefined {
  if (a.kind === 'any') return b;
  if (b.kind === 'any') return a;
  if (a.kind === 'string' && b.kind === 'string') return { kind: 'string', size: Math.max(a.size, b.size) };
  if ((a.kind === 'list' && b.kind === 'list') || (a.kind === 'map' && b.kind === 'map')) {
    const of = joined(a.of, b.of);
    return of === undefined ? undefined : { kind: a.kind, of, size: Math.max(a.size, b.size) };
  }
  if (a.kind === 'record' && b.kind === 'record') return a.fields === b.fields ? a : undefined;
  return a.kind === b.kind ? a : undefined;
}
