import type { Event } from '$lib/api/types';
import { span } from '$lib/format/time';
import { bytes, count, milliseconds } from '$lib/format/units';
import type { GridColumn } from '$lib/table/columns';

export const flowColumns: readonly GridColumn[] = [
  { key: 'time', label: 'Ended', width: 108 },
  { key: 'source', label: 'Source', width: 190 },
  { key: 'destination', label: 'Destination', width: 210 },
  { key: 'application', label: 'Application', width: 104 },
  { key: 'bytes', label: 'Bytes', width: 84, number: true },
  { key: 'name', label: 'Name', width: 180, grow: true },
  { key: 'process', label: 'Process', width: 110 },
  { key: 'state', label: 'State', width: 96 },
  { key: 'duration', label: 'Duration', width: 84, number: true },
  { key: 'packets', label: 'Packets', width: 80, number: true },
  { key: 'category', label: 'Category', width: 104 },
  { key: 'place', label: 'Network', width: 150 },
];

type Fields = Event['fields'];

const textOf = (fields: Fields, ...names: string[]): string => {
  for (const name of names) {
    const value = fields[name];
    if (value !== undefined && value !== null && value !== '')
      return Array.isArray(value) ? value.join(', ') : String(value);
  }
  return '';
};

const numberOf = (fields: Fields, name: string): number => Number(fields[name] ?? 0) || 0;

/** An end of a flow: "192.0.2.1:443", of IPv6 "[2001:db8::1]:443". */
export function endpoint(fields: Fields, side: 'source' | 'destination'): string {
  const ip = textOf(fields, `${side}.ip`);
  const port = textOf(fields, `${side}.port`);
  if (!ip) return textOf(fields, `${side}.domain`, `${side}.mac`);
  const host = ip.includes(':') ? `[${ip}]` : ip;
  return port && port !== '0' ? `${host}:${port}` : ip;
}

/** Milliseconds from a flow's first packet to its last; null where that is not known. */
export function durationOf(fields: Fields): number | null {
  const from = Date.parse(textOf(fields, 'event.start'));
  const to = Date.parse(textOf(fields, 'event.end'));
  return Number.isNaN(from) || Number.isNaN(to) || to < from ? null : to - from;
}

/** "0.3 ms", "12 s", "3 h". */
export function durationText(ms: number | null): string {
  if (ms === null) return '';
  return ms < 10_000 ? milliseconds(ms) : span(ms / 1000);
}

export const bytesOf = (fields: Fields) =>
  numberOf(fields, 'source.bytes') + numberOf(fields, 'destination.bytes');
const packetsOf = (fields: Fields) =>
  numberOf(fields, 'source.packets') + numberOf(fields, 'destination.packets');

/** What each end of a flow sent, as facts: "Sent by the source", "1.2 kB in 7 packets". */
export function directionTexts(fields: Fields): [string, string][] {
  return (['source', 'destination'] as const).flatMap((end): [string, string][] => {
    const packets = numberOf(fields, `${end}.packets`);
    if (packets === 0) return [];
    const sent = `${estimate(fields)}${bytes(numberOf(fields, `${end}.bytes`))} in ${count(packets)} ${packets === 1 ? 'packet' : 'packets'}`;
    return [[`Sent by the ${end}`, sent]];
  });
}

/** Where an exporter sampled, amounts are estimates. */
const estimate = (fields: Fields) => (numberOf(fields, 'network.sampling_rate') > 1 ? '≈ ' : '');

/** Country and autonomous system of the peer: the destination's, or else the source's. */
export function place(fields: Fields): string {
  for (const side of ['destination', 'source']) {
    const parts = [
      textOf(fields, `${side}.geo.country_iso_code`),
      textOf(fields, `${side}.as.organization.name`) ||
        textOf(fields, `${side}.as.number`).replace(/^(?=\d)/, 'AS'),
    ].filter(Boolean);
    if (parts.length > 0) return parts.join(' ');
  }
  return '';
}

/** What a column shows of a flow. */
export function flowText(event: Event, key: string): string {
  const fields = event.fields ?? {};
  switch (key) {
    case 'time':
      return event.time;
    case 'source':
    case 'destination':
      return endpoint(fields, key);
    case 'application':
      return textOf(fields, 'app', 'network.application', 'protocol', 'network.transport');
    case 'category':
      return textOf(fields, 'network.category');
    case 'bytes':
      return estimate(fields) + bytes(bytesOf(fields));
    case 'packets':
      return estimate(fields) + count(packetsOf(fields));
    case 'duration':
      return durationText(durationOf(fields));
    case 'state':
      return textOf(fields, 'event.reason', 'network.tcp_state');
    case 'place':
      return place(fields);
    case 'process':
      return textOf(fields, 'network.process.name');
    case 'name':
      return textOf(
        fields,
        'tls.client.server_name',
        'url.domain',
        'dns.question.name',
        'destination.domain',
      );
    default:
      return '';
  }
}

/** The same for a file: amounts as plain numbers. */
export function flowValue(event: Event, key: string): string | number | null {
  const fields = event.fields ?? {};
  if (key === 'bytes') return bytesOf(fields);
  if (key === 'packets') return packetsOf(fields);
  if (key === 'duration') {
    const ms = durationOf(fields);
    return ms === null ? null : ms / 1000;
  }
  return flowText(event, key);
}

/** Columns of a narrow screen stand in an order in which the first ones say most. */
export function columnsFor(times: string, narrow: boolean): GridColumn[] {
  if (!narrow) {
    return flowColumns.map((column) =>
      column.key === 'time' && times === 'relative' ? { ...column, width: 96 } : column,
    );
  }
  const widths: Record<string, number> = { time: 78, source: 130, destination: 150, application: 84 };
  return flowColumns.map((column) => ({ ...column, width: widths[column.key] ?? column.width }));
}
