import type {
  Event,
  EventsResponse,
  FieldValues,
  RowsResponse,
  SeriesResponse,
} from '../../src/lib/api/types';
import { splitPipes } from '../../src/lib/query/tokens';
import { spanOf } from '../../src/lib/router/timerange';
import { order } from '../../src/pages/events/held';
import { compile } from './query';
import { runPipes, textIn } from './rows';
import { exported } from './store';
import type { World } from './world';

const instant = (text: string | null, now: number, fallback: number) => {
  if (!text) return fallback;
  const span = spanOf(text);
  return span === null ? Date.parse(text) : now - span;
};

/** Matching events, oldest first, and how many were looked at. */
function find(world: World, params: URLSearchParams, now: number) {
  const test = compile(splitPipes(params.get('query') ?? '').filter);
  const since = instant(params.get('since'), now, 0);
  const until = instant(params.get('until'), now, now);
  const without = params.get('without');
  const inRange = world.events.slice(world.forgotten).filter((event) => {
    const time = Date.parse(event.time);
    return time >= since && time <= until;
  });
  const found = inRange.filter((event) => event.type !== without && test(event)).sort((a, b) => order(b, a));
  return { found, since, until, scanned: inRange.length };
}

export function queryRows(world: World, params: URLSearchParams, now: number): RowsResponse {
  const { found } = find(world, params, now);
  return runPipes(found, params.get('query') ?? '', Number(params.get('limit') ?? 1000));
}

export function exportEvents(world: World, params: URLSearchParams, now: number): string {
  const columns = (params.get('columns') ?? 'time,type,message').split(',');
  return exported(find(world, params, now).found, params.get('format') ?? 'jsonl', columns);
}

export function fieldValues(world: World, field: string, params: URLSearchParams, now: number): FieldValues {
  const prefix = params.get('prefix') ?? '';
  const found = find(world, params, now).found.filter((event) => textIn(event, field)?.startsWith(prefix));
  return { ...facet(found, field, Number(params.get('limit') ?? 10)), lacks: [], thinned: false };
}

export function searchEvents(world: World, params: URLSearchParams, now: number): EventsResponse {
  const { found, since, until, scanned } = find(world, params, now);
  const limit = Number(params.get('limit') ?? 100);
  const before = Number(params.get('page')?.replace('after-', '') ?? params.get('before') ?? 0);
  const end = before ? found.findIndex((event) => event.offset === before) : found.length;
  const page = found.slice(Math.max(0, end - limit), Math.max(0, end)).reverse();
  const last = page.at(-1);
  return {
    events: page,
    total: found.length,
    scanned,
    took_ms: 3.2,
    histogram: histogram(found, since, until, Number(params.get('histogram') ?? 0)),
    facets: (params.get('facets') ?? '')
      .split(',')
      .filter(Boolean)
      .map((field) => facet(found, field)),
    store: {
      state: 'ok',
      events: world.events.length - world.forgotten,
      capacity: 200_000,
      oldest_time: world.events[world.forgotten]?.time ?? null,
      next_offset: world.events.length,
      lag_events: world.store.lag,
      reason: world.store.reason,
    },
    lacks: world.store.lacks,
    thinned: false,
    next_page: last && last !== found[0] ? `after-${last.offset}` : '',
    complete_to_offset: world.events.length,
    next_before: null,
  };
}

function histogram(
  events: readonly Event[],
  since: number,
  until: number,
  buckets: number,
): EventsResponse['histogram'] {
  if (!buckets) return null;
  const step = Math.max(1, Math.ceil((until - since) / 1000 / buckets));
  const start = Math.floor(since / 1000 / step) * step;
  const counts = new Array<number>(Math.max(1, Math.floor((until / 1000 - start) / step))).fill(0);
  for (const event of events) {
    const bucket = Math.floor((Date.parse(event.time) / 1000 - start) / step);
    if (counts[bucket] !== undefined) counts[bucket] += 1;
  }
  return { start: new Date(start * 1000).toISOString(), step_seconds: step, counts };
}

function facet(events: readonly Event[], field: string, most = 10) {
  const counts = new Map<string, number>();
  for (const event of events) {
    const own = textIn(event, field);
    if (own !== undefined) counts.set(own, (counts.get(own) ?? 0) + 1);
  }
  const values = [...counts]
    .sort((a, b) => b[1] - a[1])
    .slice(0, most)
    .map(([value, count]) => ({ value, count }));
  return { field, values, distinct: counts.size };
}

const wave = (time: number, base: number, swing: number) =>
  Math.max(0, base + Math.sin(time / 90) * swing + Math.sin(time / 17) * swing * 0.3);

/** What each series is at a time, in seconds. */
export function seriesAt(name: string, time: number, rate: number) {
  const point = (labels: Record<string, string>, unit: string, value: number) => ({
    name,
    labels,
    unit,
    value,
  });
  switch (name.replace(/_highest$/, '')) {
    case 'events_per_second':
      return [
        point({ type: 'process.sample' }, '1/s', wave(time, rate * 0.6, rate * 0.1)),
        point({ type: 'process.execution' }, '1/s', wave(time + 40, rate * 0.2, rate * 0.08)),
        point({ type: 'process.exit' }, '1/s', wave(time + 60, rate * 0.15, rate * 0.06)),
        point({ type: 'agent.health' }, '1/s', rate * 0.03),
        point({ type: 'hub.health' }, '1/s', rate * 0.02),
      ];
    case 'latency_ms':
      return [
        point({ quantile: '0.5' }, 'ms', wave(time, 0.4, 0.1)),
        point({ quantile: '0.99' }, 'ms', wave(time, 2.4, 0.7)),
        point({ quantile: '0.999' }, 'ms', wave(time, 7.5, 2)),
      ];
    case 'queue_depth':
      return [point({}, '{event}', wave(time, 1.5, 1.4))];
    case 'connections':
      return [point({}, '{connection}', 9)];
    default:
      return [];
  }
}

export function series(world: World, params: URLSearchParams, now: number): SeriesResponse {
  const step = Number.parseInt(params.get('step') ?? '5', 10);
  const from = Math.floor(instant(params.get('since'), now, now - 900_000) / 1000 / step) * step;
  const until = Math.floor(instant(params.get('until'), now, now) / 1000);
  const times = Array.from(
    { length: Math.max(1, Math.floor((until - from) / step)) },
    (_, index) => from + index * step,
  );
  const rate = world.options.history ? world.options.eventsPerSecond : 0;
  // The hub did not run for a while: gaps shall show as gaps.
  const away = (index: number) => index > times.length * 0.3 && index < times.length * 0.36;
  return {
    start: new Date(from * 1000).toISOString(),
    step_seconds: step,
    thinned: rate > 0 ? 48_211 : 0,
    series: (params.get('names') ?? '').split(',').flatMap((name) =>
      seriesAt(name, from, rate).map((first, line) => ({
        name,
        labels: first.labels,
        unit: first.unit,
        values: times.map((time, index) =>
          away(index) ? null : (seriesAt(name, time, rate)[line]?.value ?? null),
        ),
      })),
    ),
  };
}
