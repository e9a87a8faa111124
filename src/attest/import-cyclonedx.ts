import { z } from 'zod';
import { problemsOf } from '#core';
import { notA, reportJson, type Imported, type ReportFile } from './report.ts';

interface Component {
  readonly type: string;
  readonly name: string;
  readonly purl?: string | undefined;
  readonly components?: readonly Component[] | undefined;
}

const component: z.ZodType<Component> = z.lazy(() => z.looseObject({ type: z.string(), name: z.string().min(1), purl: z.string().startsWith('pkg:').optional(), components: z.array(component).optional() }));
const bill = z.looseObject({
  bomFormat: z.literal('CycloneDX'),
  specVersion: z.enum(['1.4', '1.5', '1.6']),
  version: z.int().positive().default(1),
  components: z.array(component),
});

/**
 * CycloneDX 1.4 to 1.6, JSON (cyclonedx.org/docs), as it is: others read more of it than we do. A bill that lists no component is refused:
 * it would pass every rule about what must not be in it.
 * @throws CairnError `malformed-document`
 */
export function importCyclonedx(file: ReportFile): Imported {
  const value = reportJson(file, 'the CycloneDX bill');
  const parsed = bill.safeParse(value);
  if (!parsed.success) throw refuse(problemsOf(parsed.error));
  if (parsed.data.components.length === 0) throw refuse('it lists no component');
  return { format: 'cyclonedx', kind: 'sbom', predicate: value };
}

function refuse(why: string) {
  return notA('the CycloneDX bill', why);
}
