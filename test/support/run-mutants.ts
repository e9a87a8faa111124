import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { readMutants, tryMutants, type Verdict } from './mutants.ts';
import { openNode } from './open-node.ts';

// npm run test:mutants [-- --only REGEX]: every guard taken away in turn. REGEX is matched with guard, file, test and the name of the list.

const { values } = parseArgs({ options: { only: { type: 'string' } } });
const only = new RegExp(values.only ?? '', 'i');
const root = join(import.meta.dirname, '../..');
const wanted = readMutants(root).filter(({ guard, file, test, by }) => only.test(`${by}: ${guard} ${file} ${test}`));
const started = performance.now();
const bad = ({ fate }: Verdict) => fate !== 'caught' && (fate !== 'skipped' || process.env['CAIRN_PEERS'] === 'required');
const say = ({ mutant, fate, by }: Verdict) => process.stdout.write(`${fate === 'caught' ? '' : `${fate.toUpperCase()}  `}${mutant.by}: ${mutant.guard}  |  ${by}\n`);
const verdicts = await tryMutants(wanted, { root, node: openNode(), lanes: 2, limitMs: 60_000, say });
const failures = verdicts.filter(bad);
process.stdout.write(`\n${verdicts.filter(({ fate }) => fate === 'caught').length} of ${wanted.length} mutants caught in ${Math.round((performance.now() - started) / 1000)} s\n`);
for (const { mutant, fate, by } of failures) process.stdout.write(`${fate.toUpperCase()}  ${mutant.by}: ${mutant.guard} (${mutant.file}): ${by}\n`);
process.exitCode = failures.length === 0 && wanted.length > 0 ? 0 : 1;
