import type { SeriesQuery } from '$lib/api/endpoints';
import { sinceUntil, stepFor, type TimeRange } from '$lib/router/timerange';

/** The series behind Overview's charts. */
export const names = ['events_per_second', 'latency_ms_highest', 'queue_depth_highest'];

export function seriesQuery(range: TimeRange, now: number): SeriesQuery {
  return { names: names.join(','), ...sinceUntil(range), step: `${stepFor(range, now)}s` };
}
