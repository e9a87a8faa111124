import { cpSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { isBuiltin } from 'node:module';
import { join } from 'node:path';
import { build, type BuildOptions, type Plugin } from 'esbuild';

// npm run build: the commands in a few files in the place of hundreds, which is most of the time that a short command takes. Nobody must:
// without it, or where a source is newer, bin/cairn.js runs the sources. The server and the runner always run from the sources.

const top = join(import.meta.dirname, '..');
const made = join(top, 'dist.new');

/** Node's own modules are got and not imported: an import makes every name of a module, and some load much that is never used. */
const got: Plugin = {
  name: 'got',
  setup({ onLoad, onResolve }) {
    onResolve({ filter: /.*/ }, ({ path }) => (isBuiltin(path) ? { path, namespace: 'got' } : undefined));
    onLoad({ filter: /.*/, namespace: 'got' }, ({ path }) => ({ contents: `module.exports = process.getBuiltinModule(${JSON.stringify(path)})`, loader: 'js' }));
  },
};
/** The same values by names that can be left out where nobody asks for them, such as forty languages of error messages. */
const named: Plugin = {
  name: 'named',
  setup({ onLoad }) {
    onLoad({ filter: /[\\/]src[\\/].*\.ts$/ }, ({ path }) => ({ contents: readFileSync(path, 'utf8').replace("import { z } from 'zod';", "import * as z from 'zod';"), loader: 'ts' }));
  },
};
/** What a file of one command leaves to the others: `cairn` takes over where the words ask for more, `is-foreign` is loaded where it is needed, the rest is never asked for. */
const apart: Plugin = {
  name: 'apart',
  setup({ onResolve }) {
    onResolve({ filter: /^(\.\/(cairn|up|systemd|verify-capsule|is-foreign)\.ts|#build)$/ }, ({ path, kind }) => (kind === 'dynamic-import' ? { path: path.replace(/ts$/, 'js'), external: true } : undefined));
  },
};

const common: BuildOptions & { metafile: true } = {
  absWorkingDir: top, outdir: join(made, 'main'), metafile: true, bundle: true, platform: 'node', format: 'esm', target: 'node26', minifySyntax: true, minifyWhitespace: true, legalComments: 'none',
  // Loads parts of itself by names that it makes up.
  external: ['undici'],
  banner: { js: "const require = process.getBuiltinModule('node:module').createRequire(import.meta.url);" },
};
rmSync(made, { recursive: true, force: true });
const built = await Promise.all([
  build({ ...common, entryPoints: { cairn: 'src/main/cairn.ts', 'is-foreign': 'src/cli/is-foreign.ts' }, splitting: true, chunkNames: '[name]-[hash]', plugins: [got, named] }),
  build({ ...common, entryPoints: ['src/main/verify.ts'], plugins: [apart, got, named] }),
]);
cpSync(join(top, 'src/verify/roots'), join(made, 'main/roots'), { recursive: true });
const inputs = new Set(built.flatMap(({ metafile }) => Object.keys(metafile.inputs)).filter((path) => path.startsWith('src/')));
// What it was made of: bin/cairn.js runs nothing that is older than its source.
const sources = [...inputs, 'package.json', 'package-lock.json', 'bin/build.ts'].toSorted().map((path) => {
  const { mtimeMs, size } = statSync(join(top, path));
  return [path, mtimeMs, size];
});
writeFileSync(join(made, 'sources.json'), JSON.stringify(sources));
rmSync(join(top, 'dist'), { recursive: true, force: true });
renameSync(made, join(top, 'dist'));
