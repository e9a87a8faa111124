import { nearestName } from '#core';
import type { Problem } from './definition-problems.ts';
import type { ComponentDefinition, Definition, Stage } from './definition-schema.ts';

/** What a schema cannot say: that the parts of cairn.yaml fit each other. */
export function checkDefinition(definition: Definition): Problem[] {
  return [
    ...checkStages(definition),
    ...Object.entries(definition.components).flatMap(([name, component]) => checkComponent(name, component, definition)),
    ...checkRoutes(definition),
    ...checkVariables(definition),
    ...checkSchema(definition),
  ];
}

function checkStages({ stages, toolchain }: Definition): Problem[] {
  return stages.flatMap((stage, at): Problem[] => {
    const path = ['stages', at];
    const problem = (key: string, text: string, fix: string): Problem => ({ path: [...path, key], at: 'value', text, fix });
    if (stage.name === 'runtime') return [problem('name', 'no stage can be called runtime: the layer of Node.js is', 'Call it otherwise')];
    if (stages.findIndex(({ name }) => name === stage.name) !== at)
      return [problem('name', `two stages are called ${stage.name}`, 'Call one of them otherwise')];
    if (stage.run === undefined && stage.name === 'test') return [problem('name', 'the stage test runs nothing', 'Give it run: with the command of the tests')];
    if (stage.run === undefined && stage.layer === undefined)
      return [problem('name', `the stage ${stage.name} neither runs nor makes a layer`, 'Give it run: or layer:')];
    if (stage.from !== undefined && stage.layer === undefined)
      return [problem('from', `the stage ${stage.name} makes no layer that from: could be for`, 'Give it layer: [.]')];
    const tool = missingTool(stage.run ?? '', toolchain);
    return tool === undefined
      ? []
      : [problem('run', `the stage ${stage.name} runs ${tool.program}, and toolchain names no ${tool.name}`, `toolchain: { ${tool.name}: ${tool.example} }`)];
  });
}

/** A program that stands where a command begins, and whose version nobody declared. */
function missingTool(run: string, toolchain: Definition['toolchain']): { program: string; name: 'node' | 'go'; example: string } | undefined {
  for (const [, program = ''] of run.matchAll(/(?:^|[;&|(\n])\s*(?:[A-Z_][A-Z0-9_]*=\S*\s+)*(node|npm|npx|go)(?=\s|$)/g)) {
    if (program === 'go' && toolchain.go === undefined) return { program, name: 'go', example: '1.26.8' };
    if (program !== 'go' && toolchain.node === undefined) return { program, name: 'node', example: '26.10.0' };
  }
  return undefined;
}

function checkComponent(name: string, component: ComponentDefinition, { stages, toolchain }: Definition): Problem[] {
  const path = ['components', name];
  const problems: Problem[] = [];
  const layered = stages.filter((stage) => stage.layer !== undefined);
  for (const [at, wanted] of (component.layers ?? []).entries()) {
    const place = { path: [...path, 'layers', at], at: 'value' } as const;
    const stage = stages.find((one) => one.name === wanted);
    const nearest = nearestName(
      wanted,
      layered.map((one) => one.name),
    );
    if (stage === undefined)
      problems.push({
        ...place,
        text: `no stage is called ${wanted}`,
        fix: nearest === undefined ? `Stages: ${layered.map((one) => one.name).join(', ')}` : `Did you mean "${nearest}"?`,
      });
    else if (stage.layer === undefined)
      problems.push({ ...place, text: `the stage ${wanted} makes no layer`, fix: `Give ${wanted} a layer:, or name another stage` });
    else if (component.layers?.indexOf(wanted) !== at) problems.push({ ...place, text: `${wanted} is named twice`, fix: 'Name it once' });
  }
  if (layered.length === 0)
    problems.push({
      path: ['stages'],
      at: 'key',
      text: `no stage makes a layer: ${name} would have no files`,
      fix: 'Give a stage layer: with the files that run',
    });
  if (component.kind === 'files') return problems;
  const [program = ''] = component.command;
  if (['node', 'npm', 'npx'].includes(program) && toolchain.node === undefined) {
    problems.push({
      path: [...path, 'command', 0],
      at: 'value',
      text: `${name} runs ${program}, and toolchain names no node`,
      fix: 'toolchain: { node: 26.10.0 }',
    });
  } else if (program === 'npm' || program === 'npx') {
    problems.push({
      path: [...path, 'command', 0],
      at: 'value',
      text: `${name} runs ${program}, which the release does not carry`,
      fix: 'Name the command itself, such as [node, server.js]',
    });
  }
  if (component.kind === 'cron') {
    const wrong = scheduleProblem(component.schedule);
    if (wrong !== undefined)
      problems.push({
        path: [...path, 'schedule'],
        at: 'value',
        text: `"${component.schedule}": ${wrong}`,
        fix: 'Five fields: minute hour day month weekday, such as "*/15 * * * *"',
      });
  }
  return problems;
}

function checkRoutes({ components }: Definition): Problem[] {
  const taken = new Map<string, string>();
  return Object.entries(components).flatMap(([name, component]) => {
    if (component.kind !== 'web' && component.kind !== 'files') return [];
    const routes = component.routes ?? (component.kind === 'web' ? [{ host: undefined, path: '/' }] : []);
    return routes.flatMap(({ host, path }, at): Problem[] => {
      const route = `${host ?? ''}${path === '/' ? path : path.replace(/\/$/, '')}`;
      const other = taken.get(route);
      taken.set(route, name);
      if (other === undefined) return [];
      const place = component.routes === undefined ? ['components', name] : ['components', name, 'routes', at];
      return [
        {
          path: place,
          at: component.routes === undefined ? 'key' : 'value',
          text: `${name} and ${other} both want the route ${route}`,
          fix: `Give ${name} routes: of its own`,
        },
      ];
    });
  });
}

const reserved = /^(PATH|HOME|PORT|HOST|OTEL_RESOURCE_ATTRIBUTES|CAIRN_.*)$/;

function checkVariables({ configuration, secrets = {} }: Definition): Problem[] {
  const both = Object.keys(secrets)
    .filter((name) => name in configuration)
    .map((name): Problem => ({ path: ['secrets', name], at: 'key', text: `${name} is a secret and a configuration`, fix: 'Keep one of them' }));
  const own = (
    [
      ['configuration', configuration],
      ['secrets', secrets],
    ] as const
  ).flatMap(([where, all]) =>
    Object.keys(all)
      .filter((name) => reserved.test(name))
      .map((name): Problem => ({ path: [where, name], at: 'key', text: `${name} is set by Cairn`, fix: 'Call it otherwise' })),
  );
  return [...both, ...own];
}

function checkSchema({ schema, components }: Definition): Problem[] {
  if (schema === undefined) return [];
  const problem = (key: string, text: string, fix: string): Problem => ({ path: ['schema', key], at: 'value', text, fix });
  const problems: Problem[] = [];
  if (schema.minimum > schema.maximum) problems.push(problem('minimum', `minimum ${schema.minimum} is above maximum ${schema.maximum}`, 'Exchange them'));
  if (schema.command !== undefined && schema.file !== undefined) problems.push(problem('file', 'command and file both say the schema', 'Keep one of them'));
  const running = Object.entries(components).filter(([, { kind }]) => kind !== 'files');
  const speakers = schema.component === undefined ? running : running.filter(([name]) => name === schema.component);
  if (schema.component !== undefined && speakers.length === 0) {
    const exists = schema.component in components;
    problems.push(
      problem(
        'component',
        exists ? `${schema.component} has files only: it runs nothing` : `no component is called ${schema.component}`,
        `One of: ${running.map(([name]) => name).join(', ')}`,
      ),
    );
  } else if (schema.command !== undefined && speakers.length === 0) problems.push(problem('command', 'no component runs anything', 'Remove the command'));
  else if (schema.file !== undefined) {
    const [folder = '', ...rest] = schema.file.split('/');
    const folders = speakers.flatMap(([, component]) => (component.kind === 'files' ? [] : (component.data ?? [])));
    if (rest.length === 0 || rest.some((part) => part === '' || part === '.' || part === '..'))
      problems.push(problem('file', `"${schema.file}" is no DATA/PATH`, 'Write the data folder, a slash and the path in it'));
    else if (!folders.includes(folder))
      problems.push(
        problem(
          'file',
          `no data folder is called ${folder}`,
          folders.length === 0 ? `Declare it: data: [${folder}] in its component` : `One of: ${folders.join(', ')}`,
        ),
      );
  }
  return problems;
}

const months = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec'];
const days = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'];
const fields = [
  { name: 'minute', first: 0, last: 59, words: [] },
  { name: 'hour', first: 0, last: 23, words: [] },
  { name: 'day', first: 1, last: 31, words: [] },
  { name: 'month', first: 1, last: 12, words: months },
  { name: 'weekday', first: 0, last: 7, words: days },
];

/** What is wrong with a schedule, if anything. */
function scheduleProblem(schedule: string): string | undefined {
  const parts = schedule.trim().split(/\s+/);
  if (parts.length !== 5) return `${parts.length} fields`;
  const wrong = fields.find((field, at) => !(parts[at] ?? '').split(',').every((one) => isRange(one, field)));
  return wrong && `the ${wrong.name} is not from ${wrong.first} to ${wrong.last}`;
}

function isRange(text: string, { first, last, words }: { first: number; last: number; words: readonly string[] }): boolean {
  const match = /^(?:\*|([0-9a-z]+)(?:-([0-9a-z]+))?)(?:\/([0-9]+))?$/.exec(text.toLowerCase());
  if (match === null) return false;
  const number = (word: string | undefined, otherwise: number) => {
    if (word === undefined) return otherwise;
    return /^\d+$/.test(word) ? Number(word) : words.includes(word) ? words.indexOf(word) + first : Number.NaN;
  };
  const from = number(match[1], first);
  const to = number(match[2], match[1] === undefined ? last : from);
  return from >= first && to <= last && from <= to && (match[3] === undefined || Number(match[3]) > 0);
}

/** The stages whose layers a component is made of, in the order of the stages. */
export function layersOf(component: ComponentDefinition, stages: readonly Stage[]): readonly string[] {
  return stages.filter((stage) => stage.layer !== undefined && (component.layers?.includes(stage.name) ?? true)).map((stage) => stage.name);
}
