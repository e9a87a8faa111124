import { buildOf } from './fixture.ts';

// A build in a process of its own, to be killed: node fixture-build.ts REPOSITORY APPLICATION

const [, , folder = '', application = ''] = process.argv;
await buildOf(folder, { application, onEvent: (event) => event.kind === 'line' && process.stdout.write(`${event.line}\n`) });
