import type { Backend, Counts } from './backend.ts';

/** Seconds, for people who wait. */
const bounds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];
const boundsMs = Float64Array.from(bounds, (bound) => bound * 1_000);

/** Of one component of one content. Numbers in arrays: what a request costs here is a few additions, and no string. */
export class Meter implements Counts {
  backend: Backend;
  requests = 0;
  responses = 0;
  errors = 0;
  inFlight = 0;
  /** By the first digit of the status. */
  readonly #answers = new Float64Array(6);
  readonly #buckets = new Float64Array(bounds.length + 1);
  #seconds = 0;

  constructor(backend: Backend) {
    this.backend = backend;
  }

  /** From the request's head to the answer's: what comes after is as long as the answer, or as the reader is slow. */
  answered(status: number, milliseconds: number): void {
    const first = (status / 100) | 0;
    this.#answers[first] = (this.#answers[first] ?? 0) + 1;
    this.#seconds += milliseconds / 1_000;
    let at = 0;
    while (at < boundsMs.length && milliseconds > (boundsMs[at] as number)) at++;
    this.#buckets[at] = (this.#buckets[at] ?? 0) + 1;
  }

  /** Samples by family, in the order of `families`. */
  samples(environment: string): readonly string[][] {
    const { application, component, release, content } = this.backend;
    const labels = Object.entries({ environment, application, component, release, content }).map(([name, value]) => `${name}=${JSON.stringify(value)}`).join(',');
    const statuses = [1, 2, 3, 4, 5].filter((first) => this.#answers[first] !== 0);
    let sum = 0;
    const buckets = [...bounds, '+Inf'].map((bound, at) => `_bucket{${labels},le="${bound}"} ${(sum += this.#buckets[at] ?? 0)}`);
    return [
      [`{${labels}} ${this.requests}`],
      statuses.map((first) => `{${labels},status="${first}xx"} ${this.#answers[first]}`),
      [`{${labels}} ${this.errors}`],
      [`{${labels}} ${this.inFlight}`],
      [...buckets, `_sum{${labels}} ${this.#seconds}`, `_count{${labels}} ${sum}`],
    ];
  }
}

const families = [
  ['cairn_gateway_requests_total', 'counter', 'Requests that were sent to the release.'],
  ['cairn_gateway_answers_total', 'counter', 'Answers by class of status, those of the gateway itself among them.'],
  ['cairn_gateway_errors_total', 'counter', 'Requests that the release did not answer, or not to the end.'],
  ['cairn_gateway_in_flight', 'gauge', 'Requests, event streams and WebSockets that are not finished.'],
  ['cairn_gateway_latency_seconds', 'histogram', "From the request's head to the head of its answer."],
] as const;

/** The text format of Prometheus, version 0.0.4. */
export function exposition(meters: Iterable<readonly [environment: string, meter: Meter]>): string {
  const all = [...meters].map(([environment, meter]) => meter.samples(environment));
  const lines = families.flatMap(([name, type, help], at) => [
    `# HELP ${name} ${help}`,
    `# TYPE ${name} ${type}`,
    ...all.flatMap((samples) => (samples[at] ?? []).map((sample) => `${name}${sample}`)),
  ]);
  return `${lines.join('\n')}\n`;
}
