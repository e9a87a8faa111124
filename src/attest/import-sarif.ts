import { z } from 'zod';
import { problemsOf } from '#core';
import { notA, reportJson, type Imported, type ReportFile } from './report.ts';

// SARIF 2.1.0 (docs.oasis-open.org/sarif), as far as a gate reads it: what was found, at which level. What a run left out is refused, as
// a scanner that broke down finds nothing.

const most = 100_000;
const level = z.enum(['none', 'note', 'warning', 'error']);
type Level = z.infer<typeof level>;

const configuration = z.looseObject({ level: level.optional() });
const rule = z.looseObject({ id: z.string(), defaultConfiguration: configuration.optional() });
const component = z.looseObject({ name: z.string().max(256), version: z.string().max(128).optional(), semanticVersion: z.string().max(128).optional(), rules: z.array(rule).default([]) });
const reference = z.looseObject({ id: z.string().optional(), index: z.int().min(-1).optional(), toolComponent: z.looseObject({ index: z.int().min(-1).optional() }).optional() });
const result = z.looseObject({
  ruleId: z.string().optional(), ruleIndex: z.int().min(-1).optional(), rule: reference.optional(),
  kind: z.enum(['notApplicable', 'pass', 'fail', 'review', 'open', 'informational']).default('fail'),
  level: level.optional(),
  baselineState: z.enum(['new', 'unchanged', 'updated', 'absent']).optional(),
  message: z.looseObject({ text: z.string().optional(), id: z.string().optional() }),
  suppressions: z.array(z.looseObject({ status: z.enum(['accepted', 'underReview', 'rejected']).optional() })).nullable().optional(),
  provenance: z.looseObject({ invocationIndex: z.int().min(-1).optional() }).optional(),
  locations: z.array(z.looseObject({
    physicalLocation: z.looseObject({ artifactLocation: z.looseObject({ uri: z.string().optional() }).optional(), region: z.looseObject({ startLine: z.int().optional() }).optional() }).optional(),
  })).optional(),
});
const invocation = z.looseObject({
  executionSuccessful: z.boolean(),
  ruleConfigurationOverrides: z.array(z.looseObject({ descriptor: reference, configuration })).default([]),
});
const run = z.looseObject({
  tool: z.looseObject({ driver: component, extensions: z.array(component).default([]) }),
  results: z.array(result).max(most),
  invocations: z.array(invocation).default([]),
  externalPropertyFileReferences: z.looseObject({ results: z.array(z.unknown()).optional() }).optional(),
});
const log = z.looseObject({ version: z.literal('2.1.0'), runs: z.array(run).min(1).max(256) });

type Run = z.infer<typeof run>;
type Result = z.infer<typeof result>;

/** @throws CairnError `malformed-document` */
export function importSarif(file: ReportFile): Imported {
  const parsed = log.safeParse(reportJson(file, 'the SARIF report'));
  if (!parsed.success) throw refuse(problemsOf(parsed.error));
  const { runs } = parsed.data;
  for (const one of runs) {
    if (one.invocations.some(({ executionSuccessful }) => !executionSuccessful)) throw refuse(`the run of ${one.tool.driver.name} did not succeed`);
    if ((one.externalPropertyFileReferences?.results ?? []).length > 0) throw refuse('its results are in other files', 'Write results into the report itself');
  }
  const findings = runs.flatMap((one) => one.results.filter(({ baselineState }) => baselineState !== 'absent').map((each) => findingOf(one, each)));
  if (findings.length > most) throw refuse(`it has more than ${most} results`);
  const drivers = runs.map(({ tool }) => tool.driver);
  const [first] = drivers;
  return {
    format: 'sarif',
    kind: 'findings',
    predicate: {
      tool: [...new Set(drivers.map(({ name }) => name))].join(', '),
      version: (drivers.length === 1 ? (first?.semanticVersion ?? first?.version) : undefined) ?? null,
      report: file.digest,
      findings,
    },
  };
}

function findingOf(of: Run, one: Result) {
  const found = levelOf(of, one);
  // An accepted suppression is somebody's decision, which the report records: it stands, and stays to be seen. One that is not accepted yet does not.
  const suppressed = (one.suppressions ?? []).length > 0 && (one.suppressions ?? []).every(({ status = 'accepted' }) => status === 'accepted');
  const where = one.locations?.[0]?.physicalLocation;
  const uri = where?.artifactLocation?.uri;
  return {
    rule: (one.ruleId ?? one.rule?.id ?? ruleOf(of, one)?.id ?? '').slice(0, 256),
    level: suppressed ? ('none' as const) : found,
    ...(suppressed && { suppressed: found }),
    message: (one.message.text ?? one.message.id ?? '').slice(0, 1024),
    location: uri === undefined ? null : `${uri.slice(0, 1024)}${where?.region?.startLine === undefined ? '' : `:${where.region.startLine}`}`,
  };
}

/** Section 3.27.10: a result's own level, else what the invocation overrides, else the rule's default, else `warning`. What is no failure has none. */
function levelOf(of: Run, one: Result): Level {
  if (one.kind !== 'fail') return 'none';
  if (one.level !== undefined) return one.level;
  const found = ruleOf(of, one);
  const at = one.provenance?.invocationIndex ?? -1;
  const invoked = at >= 0 ? of.invocations[at] : of.invocations.length === 1 ? of.invocations[0] : undefined;
  const overridden = invoked?.ruleConfigurationOverrides.findLast(({ descriptor }) => found !== undefined && lookUp(of, descriptor, undefined) === found);
  return overridden?.configuration.level ?? found?.defaultConfiguration?.level ?? 'warning';
}

function ruleOf(of: Run, one: Result): z.infer<typeof rule> | undefined {
  return lookUp(of, { id: one.rule?.id ?? one.ruleId, index: one.rule?.index ?? one.ruleIndex, toolComponent: one.rule?.toolComponent }, one.ruleId);
}

/** By index; else by id, whose last part may be a hint of its own (`CA1000/1`). */
function lookUp({ tool }: Run, at: { id?: string | undefined; index?: number | undefined; toolComponent?: { index?: number | undefined } | undefined }, ruleId: string | undefined) {
  const extension = at.toolComponent?.index ?? -1;
  const rules = (extension >= 0 ? tool.extensions[extension] : tool.driver)?.rules ?? [];
  if (at.index !== undefined && at.index >= 0) return rules[at.index];
  const id = at.id ?? ruleId;
  if (id === undefined) return undefined;
  const all = extension >= 0 ? rules : [...rules, ...tool.extensions.flatMap((one) => one.rules)];
  return all.find((one) => one.id === id) ?? all.find((one) => one.id === id.replace(/\/[^/]*$/, ''));
}

function refuse(why: string, fix?: string) {
  return notA('the SARIF report', why, fix);
}
