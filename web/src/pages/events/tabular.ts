import type { RowsResponse } from '$lib/api/types';
import { bytes, decimal, percent } from '$lib/format/units';
import type { GridColumn } from '$lib/table/columns';

/** One row of a table, with its place in the answer. */
export interface TableRow {
  at: number;
  values: readonly string[];
}

const isNumber = (text: string) => /^-?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text);

/** Which columns hold numbers alone. Ids of processes and offsets are no amounts. */
export function numeric({ columns, rows }: Pick<RowsResponse, 'columns' | 'rows'>): boolean[] {
  return columns.map((name, index) => {
    const texts = rows.map((row) => row[index] ?? '').filter((text) => text !== '');
    return texts.length > 0 && !/(^|\.)(pid|offset|port|id)$/.test(name) && texts.every(isNumber);
  });
}

/** A value as people read it; exact where that is short. */
export function valueText(name: string, text: string, number: boolean): string {
  if (!number || text === '') return text;
  const value = Number(text);
  if (/(^|[._])(rss|bytes)$/.test(name)) return bytes(value);
  if (/(^|[._])(cpu|percent)$/.test(name)) return percent(value);
  return decimal(value);
}

export interface Bar {
  label: string;
  value: number;
  text: string;
  /** Of the longest bar, 0 to 1. */
  share: number;
  at: number;
}

const mostBars = 20;

/**
 * Bars, where the table has one column of numbers at least and labels beside it; null
 * where a chart would say nothing. The first column of numbers is drawn, the longest
 * bars of it.
 */
export function barsOf(table: Pick<RowsResponse, 'columns' | 'rows'>): { name: string; bars: Bar[] } | null {
  const numbers = numeric(table);
  const column = numbers.indexOf(true);
  if (column < 0 || table.rows.length < 2 || numbers.every(Boolean)) return null;
  const values = table.rows.map((row) => Number(row[column] ?? ''));
  if (values.some((value) => !Number.isFinite(value) || value < 0)) return null;
  const highest = Math.max(...values);
  if (highest <= 0) return null;
  const name = table.columns[column] ?? '';
  const bars = table.rows.slice(0, mostBars).map((row, at) => ({
    label: row.filter((text, index) => !numbers[index] && text !== '').join(' · ') || '(empty)',
    value: values[at] ?? 0,
    text: valueText(name, row[column] ?? '', true),
    share: (values[at] ?? 0) / highest,
    at,
  }));
  return { name, bars };
}

/** Rows in an order that a head was clicked for: "name" or "-name"; '' is the answer's own. */
export function sorted(table: Pick<RowsResponse, 'columns' | 'rows'>, sort: string): TableRow[] {
  const rows = table.rows.map((values, at) => ({ at, values }));
  const down = sort.startsWith('-');
  const column = table.columns.indexOf(down ? sort.slice(1) : sort);
  if (column < 0) return rows;
  const number = numeric(table)[column];
  const compare = (a: string, b: string) => (number ? Number(a) - Number(b) : a < b ? -1 : a > b ? 1 : 0);
  return rows.sort(
    (a, b) => (down ? -1 : 1) * compare(a.values[column] ?? '', b.values[column] ?? '') || a.at - b.at,
  );
}

/** The columns of a table, as wide as what is in them. */
export function gridColumns(table: Pick<RowsResponse, 'columns' | 'rows'>): GridColumn[] {
  const numbers = numeric(table);
  const grow = numbers.indexOf(false);
  return table.columns.map((name, index) => {
    const longest = table.rows
      .slice(0, 200)
      .reduce((most, row) => Math.max(most, row[index]?.length ?? 0), name.length + 3);
    return {
      key: name,
      label: name,
      width: Math.min(420, Math.max(90, longest * 7.5 + 24)),
      number: numbers[index] ?? false,
      sortable: true,
      ...(index === grow ? { grow: true } : {}),
    };
  });
}
