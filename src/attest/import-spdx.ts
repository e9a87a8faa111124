import { z } from 'zod';
import { problemsOf } from '#core';
import { notA, reportJson, type Imported, type ReportFile } from './report.ts';

const document = z.looseObject({
  spdxVersion: z.enum(['SPDX-2.2', 'SPDX-2.3']),
  SPDXID: z.literal('SPDXRef-DOCUMENT'),
  name: z.string(),
  documentNamespace: z.string().min(1),
  creationInfo: z.looseObject({ created: z.string(), creators: z.array(z.string()).min(1) }),
  packages: z.array(z.looseObject({ SPDXID: z.string(), name: z.string().min(1), versionInfo: z.string().optional() })),
});

/** SPDX 2.3, JSON (spdx.github.io/spdx-spec/v2.3), as it is. One that lists no package is refused. @throws CairnError `malformed-document` */
export function importSpdx(file: ReportFile): Imported {
  const value = reportJson(file, 'the SPDX document');
  const parsed = document.safeParse(value);
  if (!parsed.success) throw refuse(problemsOf(parsed.error));
  if (parsed.data.packages.length === 0) throw refuse('it lists no package');
  return { format: 'spdx', kind: 'spdx', predicate: value };
}

function refuse(why: string) {
  return notA('the SPDX document', why);
}
