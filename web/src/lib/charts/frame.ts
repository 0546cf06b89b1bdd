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
  /** Each value is the highest of its step; else it is the mean. */
  highest?: boolean;
  /** Live points of a step that is not over yet, which is not shown. */
  pending?: Pending;
  /** A step is over of which too little came live: the server has to be asked for it. */
  behind?: boolean;
}

interface Pending {
  slot: number;
  /** Whether its points are known from its beginning on. */
  whole: boolean;
  sums: ReadonlyMap<string, { sum: number; count: number; most: number }>;
}

/** Names a series by its labels; series of one name are added up. */
export type Label = (labels: Record<string, string>) => string;

/** What ends the names of series whose values are the highest of each step. */
export const highest = '_highest';

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
    ...(name.endsWith(highest) ? { highest: true } : {}),
    lines: [...lines].map(([lineLabel, values]) => ({ label: lineLabel, values })),
  };
}

/** What was loaded, with what has come live of the step after it. */
export function resumed(loaded: Frame, shown: Frame | undefined): Frame {
  const pending = shown?.step === loaded.step ? shown.pending : undefined;
  return pending && pending.slot > (loaded.times.at(-1) ?? 0) ? { ...loaded, pending } : loaded;
}

/**
 * A frame with points that came live, less what is now older than `from`. A step
 * shows once it is over, as the mean or the highest of its points: one that still fills would look
 * like an end, and of one whose beginning was missed the mean would be another. Steps
 * that are not known are gaps until they are loaded.
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
  const slot =
    last === undefined ? Math.floor(time / step) * step : last + Math.floor((time - last) / step) * step;
  if (last !== undefined && slot <= last) return frame;
  const behind = frame.pending && slot > frame.pending.slot ? closed(frame, frame.pending, from) : frame;
  const sums = new Map(behind.pending?.sums);
  const now = new Map<string, number | null>();
  for (const point of points) {
    now.set(label(point.labels), plus(now.get(label(point.labels)) ?? null, point.value));
  }
  for (const [name, value] of now) {
    if (value === null) continue;
    const known = sums.get(name) ?? { sum: 0, count: 0, most: value };
    sums.set(name, {
      sum: known.sum + value,
      count: known.count + 1,
      most: Math.max(known.most, value),
    });
  }
  const whole = behind.pending?.whole ?? time < slot + 1;
  const next = { ...behind, unit: frame.unit || (points[0]?.unit ?? ''), pending: { slot, whole, sums } };
  // A point is of the second that begins at its time.
  return Math.floor(time) + 1 >= slot + step ? closed(next, next.pending, from) : next;
}

/** The frame with a step that is over. */
function closed({ pending: _, ...frame }: Frame, { slot, whole, sums }: Pending, from: number): Frame {
  if (!whole) return { ...frame, behind: true };
  const { step } = frame;
  const last = frame.times.at(-1) ?? slot - step;
  const missing = Math.round((slot - last) / step);
  const kept = frame.times.findIndex((each) => each >= from);
  const skip = kept < 0 ? frame.times.length : kept;
  const times = frame.times.slice(skip);
  for (let each = 0; each < missing; each += 1) times.push(slot - (missing - 1 - each) * step);
  const lines = new Map(frame.lines.map((line) => [line.label, line.values.slice(skip)]));
  for (const [name, { sum, count, most }] of sums) {
    const values = lines.get(name) ?? [];
    while (values.length < times.length) values.push(null);
    values[times.length - 1] = frame.highest ? most : sum / count;
    lines.set(name, values);
  }
  return {
    ...frame,
    ...(missing > 1 ? { behind: true } : {}),
    times,
    lines: [...lines].map(([name, values]) => ({
      label: name,
      values: Array.from({ length: times.length }, (_each, index) => values[index] ?? null),
    })),
  };
}

function plus(a: number | null, b: number | null): number | null {
  return a === null ? b : a + (b ?? 0);
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

/** The mean over all times that anything is known of, of all lines added up; null without any. */
export function meanOfAll(frame: Frame): number | null {
  let sum = 0;
  let known = 0;
  for (let index = 0; index < frame.times.length; index += 1) {
    const values = frame.lines.map((line) => line.values[index] ?? null).filter((value) => value !== null);
    if (values.length === 0) continue;
    known += 1;
    for (const value of values) sum += value;
  }
  return known > 0 ? sum / known : null;
}

/** The highest value of a line; null when it has none. */
export function highestOf(frame: Frame | undefined, label: string): number | null {
  const line = frame?.lines.find((each) => each.label === label);
  return line ? (summary(line)?.highest ?? null) : null;
}
