import type { EventsResponse, OverviewStatus } from '$lib/api/types';
import { instant } from '$lib/format/time';

/**
 * From when on events can be searched, in milliseconds, where the log has older
 * ones in the range that begins at `from`; null where all of it is searchable.
 */
export function searchableFrom(
  answer: Pick<EventsResponse, 'store'> | null,
  log: OverviewStatus['log'] | undefined,
  from: number,
): number | null {
  const oldest = instant(answer?.store.oldest_time);
  if (!answer || oldest === null || !log || oldest <= from) return null;
  const logged = log.next_offset - log.first_offset;
  if (answer.store.events >= logged * 0.99 - 1000) return null;
  const first = instant(log.oldest_time);
  return first !== null && first >= oldest ? null : oldest;
}
