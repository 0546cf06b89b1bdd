import type { SavedQuery, SavedText } from '$lib/api/types';
import { rangeIn, spanOf, type TimeRange } from '$lib/router/timerange';

/** What a page shows, as much of it as a saved query keeps. */
export type Shown = Pick<SavedText, 'query' | 'since' | 'until' | 'columns'>;

/** A range as a saved query keeps it. */
export function rangeText({ range, from, to }: TimeRange): { since: string; until: string } {
  const fixed = from !== null && to !== null;
  return {
    since: fixed ? new Date(from).toISOString() : range,
    until: fixed ? new Date(to).toISOString() : '',
  };
}

/** The range of a saved query; null where it leaves that open, or is one that no page can show. */
export function rangeOf(saved: SavedQuery): TimeRange | null {
  const since = saved.since ?? '';
  if (spanOf(since) !== null && !saved.until) return { range: since, from: null, to: null };
  const from = Date.parse(since);
  const to = Date.parse(saved.until ?? '');
  if (Number.isNaN(from) || Number.isNaN(to)) return null;
  return { range: '15m', from, to };
}

/** Whether a saved query and what is shown differ in their range, where it has one. */
export function rangeDiffers(saved: SavedQuery, now: Shown): boolean {
  if (rangeOf(saved) === null) return false;
  return saved.since !== now.since || (saved.until ?? '') !== now.until;
}

/** Parameters with the range of a saved query in them, where it has one. */
export function withRange(params: URLSearchParams, saved: SavedQuery): URLSearchParams {
  const range = rangeOf(saved);
  return range ? rangeIn(params, range) : params;
}

/** Those of which name, query or owner has the text. */
export function matching(list: readonly SavedQuery[], text: string): SavedQuery[] {
  const wanted = text.trim().toLowerCase();
  return list.filter((each) =>
    [each.name, each.query, each.owner].some((part) => part.toLowerCase().includes(wanted)),
  );
}
