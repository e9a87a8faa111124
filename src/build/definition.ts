import { normalize } from 'node:path/posix';
import { parseDocument } from 'yaml';
import { z } from 'zod';
import { CairnError } from '#core';

const name = z.string().regex(/^[a-z0-9][a-z0-9-]{0,62}$/, 'lower-case letters, digits and dashes');
const layerPath = z.string().refine((path) => !path.startsWith('/') && !path.split('/').includes('..') && path !== '' && normalize(path) === path && !path.endsWith('/'), 'a plain path inside the repository, without ./ or a trailing /');

const variable = z.string().regex(/^[A-Z_][A-Z0-9_]*$/, 'upper-case letters, digits and underscores');
/** A stage without `layer` makes none; the one named `test` is the tests, whose outcome is signed. */
const stage = z.strictObject({ name, run: z.string().optional(), network: z.boolean().default(false), layer: z.array(layerPath).min(1).optional() });
const timing = { intervalMs: z.int().positive().default(100), threshold: z.int().positive().default(1), deadlineMs: z.int().positive().default(30_000) };
const health = z.union([z.strictObject({ path: z.string().startsWith('/'), ...timing }), z.strictObject({ tcp: z.literal(true), ...timing })], 'path: /... or tcp: true');
const route = z.strictObject({ host: z.string().regex(/^[a-z0-9.-]+$/).optional(), path: z.string().startsWith('/').default('/') });
const limits = z.strictObject({ memoryMb: z.int().min(32).optional(), cpus: z.number().min(0.05).max(64).optional() });
/** `layers`: names of the stages whose layers the component is made of; default: all. */
const made = { layers: z.array(name).min(1).optional() };
const runs = { command: z.array(z.string()).min(1), limits: limits.optional(), data: z.array(name).min(1).optional() };
const component = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('web'), ...made, ...runs, health, instances: z.int().positive().max(64).default(1), routes: z.array(route).min(1).optional() }),
  z.strictObject({ kind: z.literal('worker'), ...made, ...runs, instances: z.int().positive().max(64).default(1), overlap: z.literal(true).optional() }),
  z.strictObject({ kind: z.literal('cron'), ...made, ...runs, schedule: z.string(), timeoutMs: z.int().positive().default(600_000) }),
  z.strictObject({ kind: z.literal('task'), ...made, ...runs, timeoutMs: z.int().positive().default(600_000) }),
  z.strictObject({ kind: z.literal('files'), ...made, routes: z.array(route).min(1).optional() }),
]);
const version = z.string().regex(/^\d+\.\d+\.\d+$/, 'an exact version');
const schema = z.strictObject({
  application: name,
  source: z.url().optional(),
  toolchain: z.strictObject({ node: version.optional(), go: version.optional() }).default({}),
  /** Of each build stage. */
  limits: limits.optional(),
  stages: z
    .array(stage)
    .min(1)
    .refine((stages) => new Set(['runtime', ...stages.map((one) => one.name)]).size === stages.length + 1, 'stages have distinct names, and none is called runtime'),
  components: z.record(name, component).refine((all) => Object.keys(all).length > 0, 'at least one component'),
  configuration: z.record(variable, z.string()).default({}),
  /** `follow`: the newest version, on a rollback too; `pin`: the version goes back with the content. */
  secrets: z.record(variable, z.enum(['follow', 'pin'])).optional(),
  schema: z.strictObject({ minimum: z.int(), maximum: z.int(), component: name.optional(), command: z.array(z.string()).min(1).optional(), file: z.string().optional() }).optional(),
  /** How long a promotion is watched, and reverts by itself, before it is confirmed. */
  confirm: z.strictObject({ seconds: z.int().min(0).max(3600) }).default({ seconds: 10 }),
});

/** The application, as cairn.yaml declares it. */
export type Definition = z.infer<typeof schema>;

/** @throws CairnError `invalid-configuration`, naming the place and, for an unknown key, the nearest known one. */
export function parseDefinition(text: string): Definition {
  const document = parseDocument(text);
  const [error] = document.errors;
  if (error !== undefined) throw new CairnError('invalid-configuration', `cairn.yaml: ${error.message}`, { fix: 'Mend cairn.yaml' });
  const parsed = schema.safeParse(plain(document));
  if (parsed.success) return parsed.data;
  // A key that is spelt wrong is also missing: the spelling is what mends it.
  const issue = parsed.error.issues.find((one) => one.code === 'unrecognized_keys') ?? parsed.error.issues[0];
  const place = issue === undefined || issue.path.length === 0 ? '' : ` at ${issue.path.join('.')}`;
  if (issue?.code === 'unrecognized_keys') {
    const [key = ''] = issue.keys;
    const nearest = nearestKey(key, ['application', 'source', 'toolchain', 'stages', 'components', 'configuration', 'schema', 'name', 'run', 'network', 'layer', 'kind', 'command', 'health', 'instances', 'path', 'node', 'web']);
    throw new CairnError('invalid-configuration', `cairn.yaml${place} has the unknown key "${key}"`, { fix: nearest === undefined ? 'Remove it' : `Did you mean "${nearest}"?` });
  }
  throw new CairnError('invalid-configuration', `cairn.yaml${place}: ${issue?.message ?? 'is malformed'}`, { fix: 'Mend cairn.yaml' });
}

/** Aliases are bounded by the parser: a file of a few lines must not unfold into all of memory. */
function plain(document: ReturnType<typeof parseDocument>): unknown {
  try {
    return document.toJS();
  } catch (cause) {
    throw new CairnError('invalid-configuration', `cairn.yaml cannot be read: ${cause instanceof Error ? cause.message : 'malformed'}`, { cause, fix: 'Use no aliases' });
  }
}

function nearestKey(key: string, known: readonly string[]): string | undefined {
  const rated = known.map((one) => ({ one, distance: editDistance(key, one) })).toSorted((a, b) => a.distance - b.distance);
  return rated[0] !== undefined && rated[0].distance <= 3 ? rated[0].one : undefined;
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, at) => at);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) next.push(Math.min((row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1, (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)));
    row = next;
  }
  return row[b.length] ?? 0;
}
