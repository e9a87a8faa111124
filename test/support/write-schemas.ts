import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { published } from './schema.ts';

// Writes the schemas of what commands print with --json: npm run schemas.

const folder = join(import.meta.dirname, '../../schemas/cli');
await mkdir(folder, { recursive: true });
for (const [name, text] of published()) await writeFile(join(folder, name), text);
