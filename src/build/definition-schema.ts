import { normalize } from 'node:path/posix';
import { z } from 'zod';

// What cairn.yaml may say. Editors complete it from schemas/cairn.yaml.schema.json, which is made of this.

const name = z.string().regex(/^[a-z0-9][a-z0-9-]{0,62}$/, 'lower-case letters, digits and dashes are allowed, 63 at most');
const layerPath = z
  .string()
  .refine(
    (path) => !path.startsWith('/') && !path.split('/').includes('..') && path !== '' && normalize(path) === path && !path.endsWith('/'),
    'a plain path inside the repository is wanted, without ./ or a trailing /',
  );
const variable = z.string().regex(/^[A-Z_][A-Z0-9_]*$/, 'upper-case letters, digits and underscores are allowed');
const words = z.array(z.string()).min(1);

const limits = z.strictObject({
  memoryMb: z.int().min(32).optional().describe('Memory in MiB'),
  cpus: z.number().min(0.05).max(64).optional().describe('Processors; 0.5 is half of one'),
});
const stage = z.strictObject({
  name: name.describe('Its name; the stage named test runs the tests, whose outcome is signed'),
  run: z.string().optional().describe('A command of the shell; without it the stage only names files of the commit'),
  network: z.boolean().default(false).describe('Lends it registry, proxy and CA settings'),
  from: layerPath.optional().describe('Folder that the paths of layer are in, and which they lose; absent: the top of the repository'),
  layer: z.array(layerPath).min(1).optional().describe('Files and folders that become an image layer, "." for all; a stage without makes none'),
});
const timing = {
  intervalMs: z.int().positive().default(100).describe('Time between two probes'),
  threshold: z.int().positive().default(1).describe('Probes in a row that must answer'),
  deadlineMs: z.int().positive().default(30_000).describe('After that the release has failed to start'),
};
const health = z.union([
  z.strictObject({ path: z.string().startsWith('/').describe('Answers 2xx or 3xx when it is healthy'), ...timing }),
  z.strictObject({ tcp: z.literal(true).describe('It is healthy when it takes connections'), ...timing }),
]);
const route = z.strictObject({
  host: z
    .string()
    .regex(/^[a-z0-9.-]+$/, 'a host name in lower case is wanted')
    .optional()
    .describe('Host name; absent: all'),
  path: z.string().startsWith('/', 'a path begins with /').default('/').describe('Path prefix; the longest one wins'),
});
const made = { layers: z.array(name).min(1).optional().describe('Names of the stages whose layers it is made of; absent: all that make one') };
const runs = {
  command: words.describe('Program and arguments, started in the folder of its files'),
  limits: limits.optional().describe('Memory and processors of each instance'),
  data: z.array(name).min(1).optional().describe('Folders that outlive releases; their paths are in CAIRN_DATA_NAME'),
};
const instances = z.int().positive().max(64).default(1).describe('How many run');
const routes = z.array(route).min(1).optional();
const timeoutMs = z.int().positive().default(600_000).describe('After that it is stopped and has failed');

const component = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('web').describe('Answers requests on HOST and PORT'),
    ...made,
    ...runs,
    health: health.describe('How it is known to be ready'),
    instances,
    routes: routes.describe('What of the traffic it gets; absent: all'),
  }),
  z.strictObject({
    kind: z.literal('worker').describe('Runs all the time, without requests'),
    ...made,
    ...runs,
    instances,
    overlap: z.literal(true).optional().describe('Two releases may run it at once'),
  }),
  z.strictObject({
    kind: z.literal('cron').describe('Runs when the schedule says'),
    ...made,
    ...runs,
    schedule: z.string().describe('Five fields of cron, in UTC: minute hour day month weekday'),
    timeoutMs,
  }),
  z.strictObject({ kind: z.literal('task').describe('Runs once before a release goes live, such as a migration'), ...made, ...runs, timeoutMs }),
  z.strictObject({
    kind: z.literal('files').describe('Files alone: served by the gateway, or read by the others from CAIRN_FILES_NAME'),
    ...made,
    routes: routes.describe('Where the gateway serves them; absent: nowhere'),
  }),
]);
const version = z.string().regex(/^\d+\.\d+\.\d+$/, 'an exact version such as 1.2.3 is wanted');
const schema = z.strictObject({
  minimum: z.int().describe('Oldest data schema it can run on'),
  maximum: z.int().describe('Newest data schema it can run on'),
  component: name.optional().describe('Whose command or data folder it is'),
  command: words.optional().describe('Prints the schema that the data has'),
  file: z.string().optional().describe('DATA/PATH: a file in a data folder that holds it'),
});

export const definitionSchema = z.strictObject({
  application: name.describe('Its name'),
  source: z.url().optional().describe('Where the source lives; part of the release. Git remotes are never read'),
  toolchain: z
    .strictObject({ node: version.optional().describe('Node.js, exactly; the release carries it'), go: version.optional().describe('Go, exactly') })
    .default({})
    .describe('Tools of the build by exact version; their hashes are part of the release'),
  limits: limits.optional().describe('Memory and processors of each build stage'),
  stages: z.array(stage).min(1).describe('They run in order in a clean checkout of the commit'),
  components: z
    .record(name, component)
    .refine((all) => Object.keys(all).length > 0, 'at least one component is needed')
    .describe('What runs'),
  configuration: z.record(variable, z.string()).default({}).describe('Defaults of environment variables; part of the release'),
  secrets: z
    .record(variable, z.enum(['follow', 'pin']))
    .optional()
    .describe('follow: the newest version, on a rollback too; pin: the version goes back with the release'),
  schema: schema.optional().describe('Data schemas it can run on; checked before anything moves'),
  confirm: z
    .strictObject({ seconds: z.int().min(0).max(3600) })
    .default({ seconds: 10 })
    .describe('How long a promotion is watched, and reverts by itself, before it is confirmed'),
});

/** The application, as cairn.yaml declares it. */
export type Definition = z.infer<typeof definitionSchema>;
export type Stage = Definition['stages'][number];
export type ComponentDefinition = Definition['components'][string];

/** The part of JSON Schema that `definitionJsonSchema` is made of. */
export interface JsonSchema {
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly additionalProperties?: JsonSchema | boolean;
  readonly items?: JsonSchema;
  readonly anyOf?: readonly JsonSchema[];
  readonly oneOf?: readonly JsonSchema[];
  readonly const?: unknown;
}

/** For editors: JSON Schema, draft 7, of cairn.yaml as it is written (defaults left out). */
export function definitionJsonSchema(): JsonSchema {
  return { title: 'cairn.yaml', ...z.toJSONSchema(definitionSchema, { io: 'input', target: 'draft-7' }) } as JsonSchema;
}
