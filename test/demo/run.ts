// npm run demo: the main job; with --parties, three people who govern together.

if (process.argv.includes('--parties')) {
  const { parties } = await import('./parties.ts');
  process.exitCode = await parties();
} else await import('./demo.ts');
