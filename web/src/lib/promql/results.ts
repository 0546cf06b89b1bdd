import type { Labels, Point, QueryData, RangeSeries } from '../api/prometheus';
import { type Frame, type Line, summary } from '../charts/frame';

/** How many series of one query are drawn: a chart of more shows nothing. */
export const mostSeries = 60;
/** How many rows of the table of one query are shown. */
export const mostRows = 200;

/** A series as Prometheus writes it; its name, or what is asked, where it has no labels. */
export function seriesName(metric: Labels, otherwise = ''): string {
  const { __name__: name = '', ...labels } = metric;
  const text = Object.entries(labels)
    .map(([label, value]) => `${label}=${JSON.stringify(value)}`)
    .join(', ');
  if (!text) return name || otherwise || '{}';
  return `${name}{${text}}`;
}

/** Labels whose values speak for themselves, in the order in which one reads them. */
const plain = ['process', 'device', 'ifName', 'host', 'agent'];
const rank = (label: string) => (plain.includes(label) ? plain.indexOf(label) : plain.length);

/** Labels that all series share say nothing in a list of them: a name for each with the others. */
export function briefNames(metrics: readonly Labels[], otherwise = ''): string[] {
  const first = metrics[0] ?? {};
  const common = new Set(
    Object.entries(first)
      .filter(([label, value]) => metrics.every((each) => each[label] === value))
      .map(([label]) => label),
  );
  if (metrics.length === 1) {
    const { __name__: name = '', host = '', process = '' } = first;
    return [name || [process, host].filter(Boolean).join(', ') || seriesName(first, otherwise)];
  }
  return metrics.map((metric) => {
    const own = Object.entries(metric).filter(([label]) => !common.has(label));
    const { __name__: name = '', ...rest } = Object.fromEntries(own);
    const labels = Object.keys(rest).sort((a, b) => rank(a) - rank(b));
    const values = labels.map((label) =>
      rank(label) < plain.length && rest[label] ? rest[label] : `${label}: ${rest[label] || '–'}`,
    );
    return [name, ...values].filter(Boolean).join(', ') || seriesName(metric, otherwise);
  });
}

/** A value in digits as a number; null for what cannot be drawn. */
export function numberOf(text: string): number | null {
  const value = Number(text);
  return Number.isFinite(value) ? value : null;
}

/** A line of a chart that knows its series. */
export interface SeriesLine extends Line {
  /** How it is written in lists. */
  name: string;
  /** The query that it is of. */
  query: number;
  unit: string;
}

export interface SeriesFrame extends Frame {
  lines: SeriesLine[];
  /** How many series there are beside those drawn. */
  left: number;
}

export interface Answered {
  query: string;
  data: QueryData | null;
  unit: string;
}

/** The lines of several queries over common times: start to end in seconds, step apart. */
export function frameOfAnswers(
  answers: readonly Answered[],
  start: number,
  end: number,
  step: number,
): SeriesFrame {
  const length = Math.max(0, Math.floor((end - start) / step) + 1);
  const lines: SeriesLine[] = [];
  let left = 0;
  answers.forEach(({ query, data, unit }, index) => {
    if (data?.resultType !== 'matrix') return;
    const series = data.result.filter((each) => each.values && each.values.length > 0);
    const shown = foremost(series);
    left += series.length - shown.length;
    const names = briefNames(
      shown.map((each) => each.metric),
      query,
    );
    shown.forEach((each, at) => {
      lines.push({
        label: `${answers.length > 1 ? `${letter(index)} ` : ''}${seriesName(each.metric, query)}`,
        name: names[at] ?? '',
        query: index,
        unit,
        values: valuesOf(each, start, step, length),
      });
    });
  });
  const units = new Set(answers.filter((each) => each.data).map((each) => each.unit));
  const unit = units.size === 1 ? ([...units][0] ?? '') : '';
  return { times: Array.from({ length }, (_, index) => start + index * step), step, unit, lines, left };
}

/** Those that are drawn where there are too many: those that have the newest value first, then by their sums. */
function foremost(series: readonly RangeSeries[]): RangeSeries[] {
  if (series.length <= mostSeries) return [...series];
  const newest = Math.max(...series.map(endOf));
  const ranked = series.map((each) => ({
    each,
    goesOn: endOf(each) === newest,
    sum: (each.values ?? []).reduce((sum, [, text]) => sum + (numberOf(text) ?? 0), 0),
  }));
  ranked.sort((a, b) => Number(b.goesOn) - Number(a.goesOn) || b.sum - a.sum);
  const chosen = new Set(ranked.slice(0, mostSeries).map(({ each }) => each));
  return series.filter((each) => chosen.has(each));
}

const endOf = (series: RangeSeries) => series.values?.at(-1)?.[0] ?? 0;

/** Queries are told apart by A, B, C. */
export const letter = (index: number) => String.fromCharCode(65 + index);

function valuesOf(series: RangeSeries, start: number, step: number, length: number): (number | null)[] {
  const values = new Array<number | null>(length).fill(null);
  for (const [time, text] of series.values ?? []) {
    const at = Math.round((time - start) / step);
    if (at >= 0 && at < length) values[at] = numberOf(text);
  }
  return values;
}

export interface Figures {
  last: number | null;
  min: number;
  max: number;
  mean: number;
}

/** What the table of a chart says of a line; null where it has no values. */
export function figuresOf(line: Line): Figures | null {
  const said = summary(line);
  if (!said) return null;
  let sum = 0;
  let known = 0;
  for (const value of line.values) {
    if (value === null) continue;
    sum += value;
    known += 1;
  }
  return { last: said.now, min: said.lowest, max: said.highest, mean: sum / known };
}

/** One row of an instant answer. */
export interface Row {
  metric: Labels;
  /** As Prometheus wrote it; null for what is no number. */
  text: string;
  value: number | null;
  /** Seconds since 1970. */
  time: number;
}

/** The rows of an instant answer, as it has them ordered; of a range the last reading each. */
export function rowsOf(data: QueryData): Row[] {
  switch (data.resultType) {
    case 'scalar':
    case 'string':
      return [rowOf({}, data.result)];
    case 'vector':
      return data.result.map(({ metric, value }) => rowOf(metric, value));
    case 'matrix':
      return data.result.map(({ metric, values }) => rowOf(metric, values?.at(-1)));
  }
}

function rowOf(metric: Labels, point: Point | undefined): Row {
  if (!point) return { metric, text: 'a histogram', value: null, time: 0 };
  const [time, text] = point;
  return { metric, text, value: numberOf(text), time };
}

/** Where the fault of a query lies, by the words that Prometheus has for it. */
export function faultOf(message: string, query: string): { text: string; at: number | null } {
  const found = /(?:^|[\s"])(\d+):(\d+): parse error: ([\s\S]*)$/.exec(message);
  if (!found) return { text: message.replace(/^invalid parameter "query": /, ''), at: null };
  const [, line, column, text = ''] = found;
  const lines = query.split('\n');
  const before = lines.slice(0, Number(line) - 1).reduce((sum, each) => sum + each.length + 1, 0);
  const own = lines[Number(line) - 1] ?? '';
  return { text, at: Math.min(before + characters(own, Number(column) - 1), query.length) };
}

/** How many characters the first bytes of a text are: Prometheus counts bytes. */
function characters(text: string, bytes: number): number {
  const encoded = new TextEncoder().encode(text).slice(0, bytes);
  return new TextDecoder().decode(encoded).length;
}
