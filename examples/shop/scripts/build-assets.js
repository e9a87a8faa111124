// public/NAME.css -> assets/NAME-HASH.css, with a list of the names. The same bytes give the same names on every machine.
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { extname, join } from 'node:path';

const top = join(import.meta.dirname, '..');
const [from, to] = [join(top, 'public'), join(top, 'assets')];
rmSync(to, { recursive: true, force: true });
mkdirSync(to);
const names = {};
for (const file of readdirSync(from).toSorted()) {
  const bytes = readFileSync(join(from, file));
  const extension = extname(file);
  names[file] = `${file.slice(0, -extension.length)}-${createHash('sha256').update(bytes).digest('hex').slice(0, 12)}${extension}`;
  writeFileSync(join(to, names[file]), bytes);
}
writeFileSync(join(to, 'names.json'), `${JSON.stringify(names, null, 2)}\n`);
console.log(Object.values(names).join('\n'));
