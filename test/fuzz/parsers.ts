import type { Parser } from './engine.ts';
import { foreignParsers } from './foreign-parsers.ts';
import { inboundParsers } from './inbound-parsers.ts';
import { logParsers } from './log-parsers.ts';
import { reportParsers } from './report-parsers.ts';
import { saysParsers } from './says-parsers.ts';
import { trustParsers } from './trust-parsers.ts';
import { witnessParsers } from './witness-parsers.ts';

/** Every parser at a boundary, by name. */
export const parsers: readonly Parser[] = [...trustParsers, ...logParsers, ...witnessParsers, ...foreignParsers, ...reportParsers, ...saysParsers, ...inboundParsers];
