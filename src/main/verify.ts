import './cold.ts';
import { verifyPlain } from '#cli';
import { context } from './context.ts';

// What `npm run build` makes of one command that scripts ask all day long: it alone, in one file.

if (!(await verifyPlain(process.argv.slice(2), context))) await import('./cairn.ts');
