import type { Context } from './context.ts';
import { run } from './output.ts';

export async function up(this: Context, { systemd }: { readonly systemd: boolean }): Promise<void> {
  await run(this, { json: false }, async () => {
    if (systemd) this.system.out(await this.system.systemdUnit());
    else await this.system.up();
  });
}
