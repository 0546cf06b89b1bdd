import type { SeriesResponse } from '../api/types';
import type { SeriesPoint } from '../live/protocol';

/** One line of a chart: a value, or null for a gap, at each time of its frame. */
export interface Line {
  label: string;
  values: (number | null)[];
}

/** Lines over common times, in whole seconds since 1970, `step` apart. */
export interface Frame {
  times: number[];
  step: number;
  unit: string;
  lines: Line[];
  /** How many live points are in the last step so far. */
  merged?: number;
}

/** Names a series by its labels; series of one name are added up. */
export type Label = (labels: Record<string, string>) => string;

/** The lines of one name out of an answer of the server. */
export function frameOf(response: SeriesResponse, name: string, label: Label): Frame {
  const step = response.step_seconds || 1;
  const start = Math.round(Date.parse(response.start) / 1000);
  const series = response.series.filter((each) => each.name === name);
  const length = series.reduce((longest, each) => Math.max(longest, each.values.length), 0);
  const lines = new Map<string, (number | null)[]>();
  for (const each of series) {
    const values = Array.from({ length }, (_, index) => each.values[index] ?? null);
    const same = lines.get(label(each.labels));
    lines.set(
      label(each.labels),
      same ? same.map((value, index) => plus(value, values[index] ?? null)) : values,
    );
  }
  return {
    times: Array.from({ length }, (_, index) => start + index * step),
    step,
    unit: series[0]?.unit ?? '',
    lines: [...lines].map(([lineLabel, values]) => ({ label: lineLabel, values })),
  };
}

/**
 * A frame with points that came live, less what is now older than `from`.
 * Steps that no point came for stay gaps.
 */
export function withPoints(
  frame: Frame,
  time: number,
  points: readonly SeriesPoint[],
  label: Label,
  from: number,
): Frame {
  if (points.length === 0) return frame;
  const { step } = frame;
  const last = frame.times.at(-1);
  const slot = last === undefined ? Math.floor(time) : last + Math.floor((time - last) / step) * step;
  if (last !== undefined && slot < last) return frame;

  const missing = last === undefined ? 1 : Math.round((slot - last) / step);
  const kept = frame.times.findIndex((each) => each >= from);
  const skip = kept < 0 ? frame.times.length : kept;
  const times = frame.times.slice(skip);
  for (let each = 0; each < missing; each += 1) times.push(slot - (missing - 1 - each) * step);

  const merged = missing > 0 ? 0 : (frame.merged ?? 0);
  const now = new Map<string, number | null>();
  for (const point of points) {
    now.set(label(point.labels), plus(now.get(label(point.labels)) ?? null, point.value));
  }
  const lines = new Map(frame.lines.map((line) => [line.label, line.values.slice(skip)]));
  for (const [name, value] of now) {
    const values = lines.get(name) ?? [];
    while (values.length < times.length) values.push(null);
    values[times.length - 1] = mean(values[times.length - 1] ?? null, merged, value);
    lines.set(name, values);
  }
  return {
    ...frame,
    unit: frame.unit || (points[0]?.unit ?? ''),
    times,
    merged: merged + 1,
    lines: [...lines].map(([name, values]) => ({
      label: name,
      values: Array.from({ length: times.length }, (_, index) => values[index] ?? null),
    })),
  };
}

function plus(a: number | null, b: number | null): number | null {
  return a === null ? b : a + (b ?? 0);
}

/** The mean of `merged` points and one more; a step that was loaded counts as one. */
function mean(old: number | null, merged: number, value: number | null): number | null {
  if (old === null || value === null) return value ?? old;
  const weight = Math.max(1, merged);
  return (old * weight + value) / (weight + 1);
}

/** Each line on top of those before it; a time with no value at all stays a gap. */
export function stacked(lines: readonly Line[]): (number | null)[][] {
  const sums: number[] = [];
  const known: boolean[] = [];
  for (const line of lines) {
    line.values.forEach((value, index) => {
      if (value !== null) known[index] = true;
    });
  }
  return lines.map((line) =>
    line.values.map((value, index) => {
      sums[index] = (sums[index] ?? 0) + (value ?? 0);
      return known[index] ? (sums[index] ?? 0) : null;
    }),
  );
}

/** The labels of the lines with the largest sums, largest first. */
export function busiest(frame: Frame): string[] {
  const sums = frame.lines.map((line) => ({
    label: line.label,
    sum: line.values.reduce<number>((sum, value) => sum + (value ?? 0), 0),
  }));
  return sums.sort((a, b) => b.sum - a.sum || (a.label < b.label ? -1 : 1)).map((each) => each.label);
}

export interface Summary {
  now: number | null;
  lowest: number;
  highest: number;
}

/** What a line did, for people who do not see it; null when it has no values. */
export function summary(line: Line): Summary | null {
  const values = line.values.filter((value) => value !== null);
  if (values.length === 0) return null;
  let lowest = values[0] ?? 0;
  let highest = lowest;
  for (const value of values) {
    lowest = Math.min(lowest, value);
    highest = Math.max(highest, value);
  }
  return { now: line.values.findLast((value) => value !== null) ?? null, lowest, highest };
}
