import type { Event, FieldValue } from '$lib/api/types';
import type { GridColumn } from '$lib/table/columns';

/** Columns that every event has; any field's name makes another. */
export const builtIn: readonly GridColumn[] = [
  { key: 'time', label: 'Time', width: 104 },
  { key: 'severity', label: 'Severity', width: 124 },
  { key: 'type', label: 'Type', width: 150 },
  { key: 'host', label: 'Host', width: 200 },
  { key: 'agent', label: 'Agent', width: 120 },
  { key: 'message', label: 'Message', width: 280, grow: true },
  { key: 'offset', label: 'Offset', width: 92, number: true },
];

const timeWidths = { relative: 96, local: 108, utc: 108 };

/** On a narrow screen severity is bars alone, and the message stands before what would push it out of sight. */
function narrowed(columns: readonly GridColumn[]): GridColumn[] {
  const widths: Record<string, number> = { time: 78, severity: 34, type: 128, host: 110, message: 250 };
  const rank = (key: string) => ['time', 'severity', 'message'].indexOf(key) + 1 || 4;
  return columns
    .map((column) => ({
      ...column,
      width: widths[column.key] ?? column.width,
      ...(column.key === 'severity' ? { labelUnseen: true } : {}),
    }))
    .sort((a, b) => rank(a.key) - rank(b.key));
}

export function columnsFor(
  chosen: readonly string[],
  times: keyof typeof timeWidths,
  narrow: boolean,
): GridColumn[] {
  const columns = chosen.map(
    (key) => builtIn.find((column) => column.key === key) ?? { key, label: key, width: 160 },
  );
  if (narrow) return narrowed(columns);
  return columns.map((column) => (column.key === 'time' ? { ...column, width: timeWidths[times] } : column));
}

const own: Record<string, (event: Event) => FieldValue> = {
  time: (event) => event.time,
  severity: (event) => event.severity,
  type: (event) => event.type,
  host: (event) => event.host,
  agent: (event) => event.agent,
  message: (event) => event.message,
  offset: (event) => event.offset,
};

/** What an event has in a column. */
export function columnValue(event: Event, key: string): FieldValue {
  return own[key]?.(event) ?? event.fields?.[key] ?? null;
}

type Subject = Pick<Event, 'host' | 'observer' | 'about'>;

/** Whom an event is about, and who saw it where that is somebody else. */
export function subject({ host, observer, about }: Subject): string {
  return observer ? `about ${about || host}, seen by ${observer}` : host;
}

/** A value among the commonest ones: of a certificate's id what tells it from others. */
export function facetText(field: string, value: string): string {
  return field === 'publisher' ? value.replace(/^spiffe:\/\/[^/]*\//, '') : value;
}

export function textOf(value: FieldValue | undefined): string {
  if (value === null || value === undefined) return '';
  return Array.isArray(value) ? value.map(textOf).join(', ') : String(value);
}
