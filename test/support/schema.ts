import assert from 'node:assert/strict';
import { outputs, outputSchema, type CommandName } from '../../src/cli/outputs.ts';

/** Each published schema: its file's name and text. */
export function published(): [name: string, text: string][] {
  return (Object.keys(outputs) as CommandName[]).map((command) => [`${command}.json`, `${JSON.stringify(outputSchema(command), null, 2)}\n`]);
}

/**
 * That a command's --json is what its schema says, and that nothing in it is left out of the schema.
 * @param words of the command line: its first one or two are the command
 */
export function assertPublished(words: readonly string[], value: unknown, failed = false): void {
  const named = words.filter((word) => !word.startsWith('-'));
  const command = failed ? 'error' : ([named.slice(0, 2).join('-'), named[0] ?? ''].find((one) => one in outputs) as CommandName | undefined);
  if (command === undefined) return;
  const parsed = outputs[command].safeParse(value);
  assert.ok(parsed.success, `cairn ${words.join(' ')} --json is not what schemas/cli/${command}.json says: ${parsed.error?.message}`);
  assert.deepEqual(parsed.data, value, `cairn ${words.join(' ')} --json says more than schemas/cli/${command}.json: mend src/cli/outputs.ts, then npm run schemas`);
}
