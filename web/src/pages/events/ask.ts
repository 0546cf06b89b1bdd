import type { EventsQuery } from '$lib/api/endpoints';
import { splitPipes } from '$lib/query/tokens';
import { bounds, sinceUntil, type TimeRange } from '$lib/router/timerange';
import { usualFacets } from './state';

export const pageSize = 200;
const buckets = 80;

/** Readings of processes come every few seconds, and hide what happens. */
const readings = 'process.sample';

/** The type that a search leaves out, unless its readings are asked for. */
export function leftOut(query: string, shown: boolean): string | undefined {
  return shown || /\bprocess\.(sample|\*)/.test(query) ? undefined : readings;
}

/** Pipes say themselves what they count. */
export function searchOf(query: string, readings: boolean): Search {
  const { filter, pipes } = splitPipes(query);
  return pipes
    ? { query: filter === '*' ? '' : filter, without: undefined }
    : { query, without: leftOut(query, readings) };
}

/** What is said where the store has a part of the readings. */
export const thinnedNote =
  'Of each process, device and hub the store keeps one reading every few minutes; the metrics have those between, of processes the busiest';

/** Whether a search shows readings, or asks for some by name. */
export function asksReadings({ query, without }: Search): boolean {
  return without === undefined || /\b(snmp\.reading|metric\.|hub\.health)/.test(query);
}

/** A search: its query, and what is left out. */
export interface Search {
  query: string;
  without: string | undefined;
}

/** What is asked again while events come: everything but the events. */
export function countsQuery(
  search: Search,
  range: TimeRange,
  facets: readonly string[] = usualFacets,
): EventsQuery {
  return { ...search, ...sinceUntil(range), limit: 1, histogram: buckets, facets: facets.join(',') };
}

/** From here on, in milliseconds, counting takes longer than the first rows may. */
const longRange = 3_600_000;

/** Whether a search's rows are asked for by themselves, and its counts behind them. */
export function countsLater(range: TimeRange): boolean {
  const { from, to } = bounds(range, 0);
  return to - from > longRange;
}

/** The first page of a search; with all that stands beside it, where that comes at once. */
export function searchQuery(
  search: Search,
  range: TimeRange,
  facets: readonly string[] = usualFacets,
): EventsQuery {
  if (countsLater(range)) return { ...search, ...sinceUntil(range), limit: pageSize, no_total: 'true' };
  return { ...countsQuery(search, range, facets), limit: pageSize };
}
