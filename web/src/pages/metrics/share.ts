import type { Window } from '$lib/promql/window';
import { rangeParams, type TimeRange, timeKeys } from '$lib/router/timerange';

/** The address of a page for others: what ends now for one ends then for all. */
export function linkTo(address: string, window: Window | undefined): string {
  const url = new URL(address);
  if (!window) return url.href;
  const fixed: TimeRange = {
    range: url.searchParams.get('range') ?? '15m',
    from: window.start * 1000,
    to: window.end * 1000,
  };
  const written = rangeParams(fixed);
  for (const key of timeKeys) {
    const value = written[key];
    if (value === null) url.searchParams.delete(key);
    else url.searchParams.set(key, value);
  }
  return url.href;
}

/** Where the same is in Grafana: its Explore page, with the queries and the range. */
export function grafanaLink(
  base: string,
  datasource: string,
  queries: readonly string[],
  range: TimeRange,
): string {
  const source = { type: 'prometheus', uid: datasource };
  const [from, to] =
    range.from !== null && range.to !== null
      ? [String(range.from), String(range.to)]
      : [`now-${range.range}`, 'now'];
  const pane = {
    datasource,
    queries: queries.map((expr, index) => ({
      refId: String.fromCharCode(65 + index),
      expr,
      range: true,
      datasource: source,
    })),
    range: { from, to },
  };
  const params = new URLSearchParams({ schemaVersion: '1', panes: JSON.stringify({ a: pane }), orgId: '1' });
  return `${base.replace(/\/+$/, '')}/explore?${params}`;
}
