import { normalize } from 'node:path/posix';
import { parseDocument } from 'yaml';
import { z } from 'zod';
import { CairnError } from '#core';

const name = z.string().regex(/^[a-z0-9][a-z0-9-]{0,62}$/, 'lower-case letters, digits and dashes');
const layerPath = z.string().refine((path) => !path.startsWith('/') && !path.split('/').includes('..') && path !== '' && normalize(path) === path && !path.endsWith('/'), 'a plain path inside the repository, without ./ or a trailing /');

const stage = z.strictObject({ name, run: z.string().optional(), network: z.boolean().default(false), layer: z.array(layerPath).min(1) });
const health = z.strictObject({
  path: z.string().startsWith('/'),
  intervalMs: z.int().positive().default(100),
  threshold: z.int().positive().default(1),
  deadlineMs: z.int().positive().default(30_000),
});
const component = z.strictObject({ kind: z.literal('web'), command: z.array(z.string()).min(1), health, instances: z.int().positive().max(64).default(1) });
const schema = z.strictObject({
  application: name,
  source: z.url().optional(),
  toolchain: z.strictObject({ node: z.string().regex(/^\d+\.\d+\.\d+$/, 'an exact version') }),
  stages: z
    .array(stage)
    .min(1)
    .refine((stages) => new Set(['runtime', ...stages.map((one) => one.name)]).size === stages.length + 1, 'stages have distinct names, and none is called runtime'),
  components: z.strictObject({ web: component }),
  configuration: z.record(z.string().regex(/^[A-Z_][A-Z0-9_]*$/), z.string()).default({}),
  schema: z.strictObject({ minimum: z.int(), maximum: z.int() }).optional(),
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
