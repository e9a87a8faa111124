// build: from a commit to layers and image manifests, the same bytes on any machine.
export { buildApplication, type Built, type BuildOptions } from './build.ts';
export { resolveCommit, type Commit } from './checkout.ts';
export { definitionJsonSchema, type Definition } from './definition-schema.ts';
export { parseDefinition } from './definition.ts';
export { imageOf } from './image.ts';
export { layerOf, type Layer } from './layer.ts';
export { writeTar, type TarEntry } from './tar.ts';
