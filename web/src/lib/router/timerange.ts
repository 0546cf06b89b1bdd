/** The parameters that hold the time range; they go along from page to page. */
export const timeKeys = ['range', 'from', 'to'] as const;

export const presets = [
  { range: '5m', label: 'Last 5 minutes' },
  { range: '15m', label: 'Last 15 minutes' },
  { range: '1h', label: 'Last hour' },
  { range: '6h', label: 'Last 6 hours' },
  { range: '24h', label: 'Last 24 hours' },
  { range: '7d', label: 'Last 7 days' },
  { range: '30d', label: 'Last 30 days' },
] as const;

const unitNames: Record<string, string> = { s: 'second', m: 'minute', h: 'hour', d: 'day' };

/** A relative range in words: "Last 10 minutes". */
export function rangeLabel(range: string): string {
  const match = /^(\d+)([smhd])$/.exec(range);
  const unit = unitNames[match?.[2] ?? ''];
  if (!unit) return `Last ${range}`;
  return match?.[1] === '1' ? `Last ${unit}` : `Last ${match?.[1]} ${unit}s`;
}

export const usualRange = '15m';

/**
 * A stretch of time. A relative one ends now and moves on; one with from and
 * to stands still, and remembers the relative one it was zoomed out of.
 */
export interface TimeRange {
  range: string;
  from: number | null;
  to: number | null;
}

const units: Record<string, number> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** Milliseconds of "15m", or null when it is no duration. */
export function spanOf(range: string): number | null {
  const match = /^(\d{1,5})([smhd])$/.exec(range);
  const unit = units[match?.[2] ?? ''];
  const count = Number(match?.[1]);
  return unit && count > 0 ? count * unit : null;
}

export function parseRange(params: URLSearchParams): TimeRange {
  const asked = params.get('range') ?? usualRange;
  const range = spanOf(asked) === null ? usualRange : asked;
  const from = instant(params.get('from'));
  const to = instant(params.get('to'));
  if (from === null || to === null || from >= to) return { range, from: null, to: null };
  return { range, from, to };
}

function instant(text: string | null): number | null {
  if (!text) return null;
  const time = Date.parse(text);
  return Number.isNaN(time) ? null : time;
}

export function isLive(range: TimeRange): boolean {
  return range.from === null;
}

/** Start and end in milliseconds, with `now` as the end of a relative range. */
export function bounds(range: TimeRange, now: number): { from: number; to: number } {
  if (range.from !== null && range.to !== null) return { from: range.from, to: range.to };
  return { from: now - (spanOf(range.range) ?? 900_000), to: now };
}

/** What the API takes as since and until. */
export function sinceUntil(range: TimeRange): { since: string; until?: string } {
  if (range.from === null || range.to === null) return { since: hours(range.range) };
  return { since: new Date(range.from).toISOString(), until: new Date(range.to).toISOString() };
}

/** Go's durations know no days. */
function hours(range: string): string {
  const match = /^(\d+)d$/.exec(range);
  return match ? `${Number(match[1]) * 24}h` : range;
}

/** The parameters of a range, null where one is to be left out. */
export function rangeParams(range: TimeRange): Record<(typeof timeKeys)[number], string | null> {
  return {
    range: range.range === usualRange ? null : range.range,
    from: range.from === null ? null : new Date(range.from).toISOString(),
    to: range.to === null ? null : new Date(range.to).toISOString(),
  };
}

/** Parameters with a range in the place of theirs. */
export function rangeIn(params: URLSearchParams, range: TimeRange): URLSearchParams {
  const next = new URLSearchParams(params);
  for (const [key, value] of Object.entries(rangeParams(range))) {
    if (value === null) next.delete(key);
    else next.set(key, value);
  }
  return next;
}

/** A step that gives about `points` values over the range, at least 1 s. */
export function stepFor(range: TimeRange, now: number, points = 240): number {
  const { from, to } = bounds(range, now);
  const steps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21_600, 43_200];
  const wanted = (to - from) / 1000 / points;
  return steps.find((step) => step >= wanted) ?? 86_400;
}
