import { oneOf, text, whole } from '$lib/router/params';

/** Distances of values to choose from; auto goes by the range. */
export const steps = ['auto', '5s', '15s', '30s', '1m', '5m', '15m', '1h', '6h', '1d'] as const;
export type Step = (typeof steps)[number];

/** The views of the page. */
export const tabs = ['explore', 'rules'] as const;
export const tabNames = { explore: 'Explore', rules: 'Rules and alerts' };

/** What the address of Metrics holds, beside the time range. */
export const schema = {
  tab: oneOf(tabs, 'explore'),
  /** The queries, one a line. */
  q: text(),
  step: oneOf(steps, 'auto'),
  /** How the values over time are shown. */
  view: oneOf(['chart', 'table'], 'chart'),
  /** The saved panel that was opened; with no query in the address, the one to open. */
  saved: whole(),
};

/** How many queries one page asks at once: there are eight colours. */
export const mostQueries = 8;

export function queriesOf(q: string): string[] {
  return q
    .split('\n')
    .map((line) => line.trim())
    .filter(Boolean)
    .slice(0, mostQueries);
}
