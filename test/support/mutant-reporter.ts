import type { TestEvent } from 'node:test/reporters';

/** One line of JSON for each test that ran: its name, whether it passed, whether it was skipped. Suites are no tests. */
export default async function* report(events: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  for await (const { type, data } of events) {
    if ((type !== 'test:pass' && type !== 'test:fail') || data.details.type === 'suite') continue;
    yield `${JSON.stringify({ name: data.name, passed: type === 'test:pass', skipped: data.skip !== undefined && data.skip !== false })}\n`;
  }
}
