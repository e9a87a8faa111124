import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { definitionJsonSchema } from '#build';

// Writes the JSON Schema of cairn.yaml anew after a change of the definition: node test/support/write-schema.ts

await writeFile(join(import.meta.dirname, '../../schemas/cairn.yaml.schema.json'), `${JSON.stringify(definitionJsonSchema(), null, 2)}\n`);
