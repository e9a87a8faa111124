import { complete, run } from '#cli';
import { context } from './context.ts';

// The commands' process.

const words = process.argv.slice(2);
if (words[0] === '__complete') await complete(words.slice(1), context);
else await run(words, context);
// The parser's own codes are negative; to a shell they are all one thing: the command was typed wrong.
if (Number(process.exitCode) < 0) process.exitCode = 2;
