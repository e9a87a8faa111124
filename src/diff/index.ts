// diff: what differs between two releases: packages, settings, files, evidence. Pure, but for the layers that it is given to read.
export { diffComponents, diffSets, type ComponentChange, type SetChange } from './components.ts';
export { diffFiles, type FileChange, type LayerRef, type OpenLayer } from './files.ts';
export { diffPackages, type PackageChange } from './packages.ts';
export { diffRecord, type RecordChange } from './record.ts';
