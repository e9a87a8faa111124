import type { Parser } from './engine.ts';
import { reportParsers } from './report-parsers.ts';
import { trustParsers } from './trust-parsers.ts';
import { witnessParsers } from './witness-parsers.ts';

/** Every parser at a boundary, by name. */
export const parsers: readonly Parser[] = [...trustParsers, ...witnessParsers, ...reportParsers];
