import type { SavedQuery } from '$lib/api/types';
import { apply } from '$lib/router/params';
import type { TimeRange } from '$lib/router/timerange';
import { rangeDiffers, rangeText, type Shown, withRange } from '$lib/saved/matching';
import { schema } from './state';

/** What Metrics shows, as much of it as a saved panel keeps. */
export function shownOf(queries: readonly string[], range: TimeRange): Shown {
  return { query: queries.join('\n'), ...rangeText(range) };
}

/** The parameters of the page that shows a saved panel; what it leaves open stays as it is. */
export function opened(saved: SavedQuery, params: URLSearchParams): URLSearchParams {
  return withRange(apply(schema, params, { q: saved.query, saved: saved.id }), saved);
}

/** Whether the page shows something else than the saved panel that was opened there. */
export function edited(saved: SavedQuery, now: Shown): boolean {
  return saved.query !== now.query || rangeDiffers(saved, now);
}
