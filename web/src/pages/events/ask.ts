import type { EventsQuery } from '$lib/api/endpoints';
import { sinceUntil, type TimeRange } from '$lib/router/timerange';

export const facetFields = ['type', 'severity', 'host', 'agent', 'process.name', 'observer', 'publisher'];
export const pageSize = 200;
const buckets = 80;

/** Readings of processes come every few seconds, and hide what happens. */
const readings = 'process.sample';

/** The type that a search leaves out, unless its readings are asked for. */
export function leftOut(query: string, shown: boolean): string | undefined {
  return shown || /\bprocess\.(sample|\*)/.test(query) ? undefined : readings;
}

/** A search: its query, and what is left out. */
export interface Search {
  query: string;
  without: string | undefined;
}

/** What is asked again while events come: everything but the events. */
export function countsQuery(search: Search, range: TimeRange): EventsQuery {
  return { ...search, ...sinceUntil(range), limit: 1, histogram: buckets, facets: facetFields.join(',') };
}

/** The first page of a search, with all that stands beside it. */
export function searchQuery(search: Search, range: TimeRange): EventsQuery {
  return { ...countsQuery(search, range), limit: pageSize };
}
