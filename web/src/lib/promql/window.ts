import { bounds, spanOf, stepFor, type TimeRange } from '../router/timerange';

/** What is asked for: from start to end in seconds since 1970, step apart. */
export interface Window {
  start: number;
  end: number;
  step: number;
}

/** Prometheus answers with 11,000 values a series at most; no screen is that wide. */
const mostValues = 4000;
/** Agents read every five seconds: values that are nearer say nothing new. */
const leastStep = 5;

/** The window of a range at a time in milliseconds, with a step such as "30s" or one that is chosen ("auto"). Steps are whole ones since 1970, so that values stay what they are while it moves. */
export function windowOf(range: TimeRange, step: string, now: number): Window {
  const { from, to } = bounds(range, now);
  const chosen = spanOf(step);
  const least = Math.ceil((to - from) / 1000 / mostValues);
  const seconds = chosen === null ? Math.max(leastStep, stepFor(range, now)) : Math.max(chosen / 1000, least);
  const end = Math.floor(to / 1000 / seconds) * seconds;
  return { start: Math.floor(from / 1000 / seconds) * seconds, end, step: seconds };
}

/** How often a window that ends now is asked for anew, in milliseconds. */
export function refreshEvery(window: Window): number {
  return Math.min(60, Math.max(5, window.step)) * 1000;
}
