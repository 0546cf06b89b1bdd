import type { Event, RowsResponse } from '../../src/lib/api/types';
import { splitPipes } from '../../src/lib/query/tokens';
import { QueryFault } from './query';

type Row = Record<string, string>;

export const textIn = (event: Event, field: string): string | undefined => {
  const own = (event as unknown as Record<string, unknown>)[field] ?? event.fields[field];
  return own === undefined || own === null ? undefined : String(own);
};

/** Enough pipes for the UI's tests: stats, top, sort, limit and fields. */
export function runPipes(events: readonly Event[], query: string, limit: number): RowsResponse {
  const { pipes } = splitPipes(query);
  let rows: Row[] | null = null;
  let columns: string[] = [];
  for (const text of pipes.split('|').map((part) => part.trim())) {
    if (!text) continue;
    const [name = ''] = text.split(/[\s(]/);
    const step = steps[name];
    if (!step) throw new QueryFault(`unknown pipe ${name}`, query.indexOf(name));
    [columns, rows] = step(text, rows, events, columns);
  }
  const all: Row[] = rows ?? events.map((event) => ({ time: event.time, message: event.message }));
  if (columns.length === 0) columns = ['time', 'message'];
  const shown = all.slice(0, limit);
  return {
    columns,
    rows: shown.map((row) => columns.map((column) => row[column] ?? '')),
    more: all.length > limit,
    took_ms: 12.5,
    complete_to_offset: 0,
    lacks: [],
    thinned: false,
  };
}

type Step = (
  text: string,
  rows: Row[] | null,
  events: readonly Event[],
  columns: string[],
) => [string[], Row[]];

const names = (text: string) =>
  text
    .split(',')
    .map((each) => each.trim())
    .filter(Boolean);

const steps: Record<string, Step> = {
  stats(text, _rows, events) {
    const [, by = '', rest = ''] = /^stats(?:\s+by\s*\(([^)]*)\))?\s*(.*)$/.exec(text) ?? [];
    const fields = names(by);
    const groups = new Map<string, Event[]>();
    for (const event of events) {
      const key = JSON.stringify(fields.map((field) => textIn(event, field) ?? ''));
      const group = groups.get(key);
      if (group) group.push(event);
      else groups.set(key, [event]);
    }
    const wanted = [...rest.matchAll(/(\w+)\(([^)]*)\)\s*(\w+)?/g)].map(([all, name, field, as]) => ({
      name,
      field: field ?? '',
      as: as ?? all.trim(),
    }));
    const rows = [...groups].map(([key, group]) => {
      const values = JSON.parse(key) as string[];
      const row: Row = Object.fromEntries(fields.map((field, index) => [field, values[index] ?? '']));
      for (const each of wanted) row[each.as] = String(aggregate(each.name ?? '', each.field, group));
      return row;
    });
    return [[...fields, ...wanted.map((each) => each.as)], rows];
  },
  top(text, _rows, events) {
    const [, most = '10', by = ''] = /^top\s+(\d+)?\s*(?:by)?\s*\(([^)]*)\)/.exec(text) ?? [];
    const [columns, rows] = steps.stats?.(`stats by (${by}) count() hits`, null, events, []) ?? [[], []];
    rows.sort((a, b) => Number(b.hits) - Number(a.hits));
    return [columns, rows.slice(0, Number(most))];
  },
  sort(text, rows, _events, columns) {
    const [, field = '', order] = /^sort\s+by\s*\((\S+?)(?:\s+(desc))?\)/.exec(text) ?? [];
    const sign = order === 'desc' ? -1 : 1;
    return [columns, [...(rows ?? [])].sort((a, b) => sign * (Number(a[field]) - Number(b[field])))];
  },
  limit(text, rows, _events, columns) {
    return [columns, (rows ?? []).slice(0, Number(text.split(/\s+/)[1]))];
  },
  fields(text, rows, events) {
    const fields = names(text.replace(/^fields\s+/, ''));
    const made =
      rows ??
      events.map((event) => Object.fromEntries(fields.map((field) => [field, textIn(event, field) ?? ''])));
    return [fields, made];
  },
};

function aggregate(name: string, field: string, group: readonly Event[]): number {
  if (name === 'count') return group.length;
  const texts = group.map((event) => textIn(event, field)).filter((text) => text !== undefined);
  if (name === 'count_uniq') return new Set(texts).size;
  const numbers = texts.map(Number);
  if (numbers.length === 0) return 0;
  if (name === 'max') return Math.max(...numbers);
  if (name === 'min') return Math.min(...numbers);
  const sum = numbers.reduce((total, value) => total + value, 0);
  return name === 'avg' ? Math.round((sum / numbers.length) * 100) / 100 : sum;
}
