import assert from 'node:assert/strict';
import { test } from 'node:test';
import { digestOf } from '#core';
import { application, backend, call, opened, rawApplication, whole } from './fixture.ts';

/** Samples by name and labels; every line is checked against the text format. */
function parsed(text: string): Map<string, number> {
  assert.ok(text.endsWith('\n'));
  const samples = new Map<string, number>();
  const families = new Set<string>();
  for (const line of text.slice(0, -1).split('\n')) {
    if (line.startsWith('# TYPE ')) {
      const [, family = ''] = /^# TYPE (\w+) (?:counter|gauge|histogram)$/.exec(line) ?? [];
      assert.ok(family !== '' && !families.has(family), line);
      families.add(family);
    }
    if (line.startsWith('#')) continue;
    const [, key = '', value = ''] = /^(\w+\{(?:\w+="(?:[^"\\\n]|\\[\\"n])*",?)+\}) ([0-9.e+-]+)$/.exec(line) ?? assert.fail(line);
    assert.ok(!samples.has(key), `twice: ${key}`);
    samples.set(key, Number(value));
  }
  return samples;
}

function labels(name: string): string {
  return `environment="production",application="shop",component="web",release="${digestOf(`release ${name}`)}",content="${digestOf(name)}"`;
}

test('requests, answers, errors and latency are told by release', async (t) => {
  let now = 0;
  const { gateway, url } = await opened(t, { clock: { now: () => new Date(), elapsed: () => now } });
  const origin = await application(t, (request, response) => {
    now += Number(request.url?.slice(1));
    response.writeHead(request.url === '/30' ? 500 : 200).end();
  });
  gateway.route('production', whole(backend('one', origin)));
  for (const path of ['/0', '/2', '/30', '/60000']) await call(url, {}, 'GET', path);
  gateway.route('production', whole(backend('two', await rawApplication(t, (socket) => socket.on('data', () => socket.destroy())))));
  await call(url, {}, 'DELETE');
  const samples = parsed(gateway.metrics());
  const of = (name: string, more = '', which = 'one') => samples.get(`cairn_gateway_${name}{${labels(which)}${more}}`);
  assert.equal(of('requests_total'), 4);
  assert.equal(of('answers_total', ',status="2xx"'), 3);
  assert.equal(of('answers_total', ',status="5xx"'), 1);
  assert.equal(of('errors_total'), 0);
  assert.equal(of('in_flight'), 0);
  const buckets = [['0.001', 1], ['0.0025', 2], ['0.025', 2], ['0.05', 3], ['10', 3], ['+Inf', 4]] as const;
  for (const [bound, count] of buckets) assert.equal(of('latency_seconds_bucket', `,le="${bound}"`), count, bound);
  assert.equal(of('latency_seconds_count'), 4);
  assert.ok(Math.abs((of('latency_seconds_sum') ?? 0) - 60.032) < 1e-9);
  assert.equal(of('errors_total', '', 'two'), 1);
  assert.equal(of('answers_total', ',status="5xx"', 'two'), 1);
});

test('what a release did is still told after it was drained, and goes on where it returns', async (t) => {
  const { gateway, url } = await opened(t);
  const one = backend('one', await application(t, (_, response) => response.end()));
  gateway.route('production', whole(one));
  await call(url);
  gateway.route('production', []);
  await gateway.drain(one.content, 50);
  assert.equal(parsed(gateway.metrics()).get(`cairn_gateway_requests_total{${labels('one')}}`), 1);
  gateway.route('production', whole(one));
  await call(url);
  assert.equal(parsed(gateway.metrics()).get(`cairn_gateway_requests_total{${labels('one')}}`), 2);
});

test('a thousand releases later the metrics are of the last hundred', async (t) => {
  const { gateway } = await opened(t);
  for (let release = 0; release < 1_000; release++) {
    gateway.route('production', whole(backend(`${release}`)));
    if (release > 0) await gateway.drain(digestOf(`${release - 1}`), 0);
  }
  const releases = [...parsed(gateway.metrics()).keys()].filter((key) => key.startsWith('cairn_gateway_requests_total'));
  assert.equal(releases.length, 100);
  assert.ok(releases.some((key) => key.includes(digestOf('999'))));
});

test('nothing routed yet is no error', async (t) => {
  const { gateway } = await opened(t);
  assert.equal(parsed(gateway.metrics()).size, 0);
});
