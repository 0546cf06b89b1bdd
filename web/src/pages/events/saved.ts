import type { SavedQuery } from '$lib/api/types';
import { apply } from '$lib/router/params';
import type { TimeRange } from '$lib/router/timerange';
import { rangeDiffers, rangeText, type Shown, withRange } from '$lib/saved/matching';
import { schema, usualColumns } from './state';

/** What Events shows, as much of it as a saved query keeps. */
export function shownOf(query: string, range: TimeRange, columns: readonly string[]): Shown {
  return { query, ...rangeText(range), columns: [...columns] };
}

/** The parameters of the page that shows a saved query; what it leaves open stays as it is. */
export function opened(saved: SavedQuery, params: URLSearchParams): URLSearchParams {
  const columns = saved.columns && saved.columns.length > 0 ? saved.columns : usualColumns;
  const next = apply(schema, params, { q: saved.query, saved: saved.id, cols: columns, event: null });
  return withRange(next, saved);
}

/** Whether a page shows something else than the saved query that was opened there. */
export function edited(saved: SavedQuery, now: Shown): boolean {
  const columns = saved.columns && saved.columns.length > 0 ? saved.columns : usualColumns;
  return (
    saved.query !== now.query ||
    rangeDiffers(saved, now) ||
    columns.join(',') !== (now.columns ?? []).join(',')
  );
}
