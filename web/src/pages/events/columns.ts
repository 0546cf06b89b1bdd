import type { Event, FieldValue } from '$lib/api/types';
import type { GridColumn } from '$lib/table/columns';

/** Columns that every event has; any field's name makes another. */
export const builtIn: readonly GridColumn[] = [
  { key: 'time', label: 'Time', width: 104 },
  { key: 'severity', label: 'Severity', width: 124 },
  { key: 'type', label: 'Type', width: 150 },
  { key: 'host', label: 'Host', width: 130 },
  { key: 'agent', label: 'Agent', width: 120 },
  { key: 'message', label: 'Message', width: 280, grow: true },
  { key: 'offset', label: 'Offset', width: 92, number: true },
];

const timeWidths = { relative: 96, local: 108, utc: 108 };

export function columnsFor(chosen: readonly string[], times: keyof typeof timeWidths): GridColumn[] {
  const columns = chosen.map(
    (key) => builtIn.find((column) => column.key === key) ?? { key, label: key, width: 160 },
  );
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

export function textOf(value: FieldValue | undefined): string {
  if (value === null || value === undefined) return '';
  return Array.isArray(value) ? value.map(textOf).join(', ') : String(value);
}
