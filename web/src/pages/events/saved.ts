import type { SavedQuery, SavedText } from '$lib/api/types';
import { apply } from '$lib/router/params';
import { rangeParams, spanOf, type TimeRange, timeKeys } from '$lib/router/timerange';
import { schema, usualColumns } from './state';

/** What a page shows, as much of it as a saved query keeps. */
export interface Shown {
  query: string;
  range: TimeRange;
  columns: readonly string[];
}

/** The part of a saved query that says what it shows. */
export function textOf(shown: Shown): Pick<SavedText, 'query' | 'since' | 'until' | 'columns'> {
  const { range, from, to } = shown.range;
  const fixed = from !== null && to !== null;
  return {
    query: shown.query,
    since: fixed ? new Date(from).toISOString() : range,
    until: fixed ? new Date(to).toISOString() : '',
    columns: [...shown.columns],
  };
}

/** The parameters of the page that shows a saved query; what it leaves open stays as it is. */
export function opened(saved: SavedQuery, params: URLSearchParams): URLSearchParams {
  const columns = saved.columns && saved.columns.length > 0 ? saved.columns : usualColumns;
  const next = apply(schema, params, { q: saved.query, saved: saved.id, cols: columns, event: null });
  const range = rangeOf(saved);
  if (range) {
    const written = rangeParams(range);
    for (const key of timeKeys) {
      const value = written[key];
      if (value === null) next.delete(key);
      else next.set(key, value);
    }
  }
  return next;
}

/** The range of a saved query; null where it leaves that open, or is one that this page cannot show. */
function rangeOf(saved: SavedQuery): TimeRange | null {
  const since = saved.since ?? '';
  if (spanOf(since) !== null && !saved.until) return { range: since, from: null, to: null };
  const from = Date.parse(since);
  const to = Date.parse(saved.until ?? '');
  if (Number.isNaN(from) || Number.isNaN(to)) return null;
  return { range: '15m', from, to };
}

/** Whether a page shows something else than the saved query that was opened there. */
export function edited(saved: SavedQuery, shown: Shown): boolean {
  const now = textOf(shown);
  const columns = saved.columns && saved.columns.length > 0 ? saved.columns : usualColumns;
  return (
    saved.query !== now.query ||
    (rangeOf(saved) !== null && (saved.since !== now.since || (saved.until ?? '') !== now.until)) ||
    columns.join(',') !== shown.columns.join(',')
  );
}

/** Those of which name, query or owner has the text. */
export function matching(list: readonly SavedQuery[], text: string): SavedQuery[] {
  const wanted = text.trim().toLowerCase();
  return list.filter((each) =>
    [each.name, each.query, each.owner].some((part) => part.toLowerCase().includes(wanted)),
  );
}
