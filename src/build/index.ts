// build: from a commit to layers and image manifests, the same bytes on any machine.
export { buildApplication, type BuildEvent, type Built, type BuildOptions } from './build.ts';
export { commitsSince, resolveCommit, type Commit } from './commit.ts';
export { definitionJsonSchema, type Definition } from './definition-schema.ts';
export { parseDefinition } from './definition.ts';
export { imageOf } from './image.ts';
export { layerOf, type Layer } from './layer.ts';
export type { Locked, Package } from './package.ts';
export { writeTar, type TarEntry } from './tar.ts';
export type { TestCounts } from './test-counts.ts';
