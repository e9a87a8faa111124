import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { definitionJsonSchema } from '#build';
import { policyJsonSchema } from '#policy';

// Writes the JSON Schemas of cairn.yaml and of policies anew after a change of what they can say: node test/support/write-schema.ts

const folder = join(import.meta.dirname, '../../schemas');
await writeFile(join(folder, 'cairn.yaml.schema.json'), `${JSON.stringify(definitionJsonSchema(), null, 2)}\n`);
await writeFile(join(folder, 'policy.schema.json'), `${JSON.stringify(policyJsonSchema(), null, 2)}\n`);
