import type { Context } from './context.ts';
import { run } from './output.ts';

export async function up(this: Context): Promise<void> {
  await run(this, { json: false }, () => this.system.up());
}
