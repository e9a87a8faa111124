import { cpSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';

// npm run build: the commands in a few files in the place of hundreds, which is most of the time that a short command takes. Nobody must:
// without it, or where a source is newer, bin/cairn.js runs the sources. The server and the runner always run from the sources.

const top = join(import.meta.dirname, '..');
const made = join(top, 'dist.new');
rmSync(made, { recursive: true, force: true });
const { metafile } = await build({
  absWorkingDir: top, entryPoints: ['src/main/cairn.ts'], outdir: join(made, 'main'), chunkNames: '[name]-[hash]', metafile: true, bundle: true, splitting: true, platform: 'node', format: 'esm', target: 'node26',
  minifySyntax: true, minifyWhitespace: true, legalComments: 'none',
  // Loads parts of itself by names that it makes up.
  external: ['undici'],
  banner: { js: "import { createRequire as requireFrom } from 'node:module'; const require = requireFrom(import.meta.url);" },
});
cpSync(join(top, 'src/verify/roots'), join(made, 'main/roots'), { recursive: true });
const sources = [...Object.keys(metafile.inputs).filter((path) => !path.startsWith('node_modules/') && !path.startsWith('../')), 'package.json', 'package-lock.json', 'bin/build.ts'].toSorted();
// What it was made of: bin/cairn.js runs nothing that is older than its source.
writeFileSync(join(made, 'sources.json'), JSON.stringify(sources.map((path) => [path, statSync(join(top, path)).mtimeMs, statSync(join(top, path)).size])));
rmSync(join(top, 'dist'), { recursive: true, force: true });
renameSync(made, join(top, 'dist'));
