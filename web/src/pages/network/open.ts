import type { RowsResponse } from '$lib/api/types';
import { instant } from '$lib/format/time';
import type { GridColumn } from '$lib/table/columns';
import { endpoint } from './columns';

/** A flow that goes on, with its newest counters. */
export interface OpenFlow {
  /** Of the newest event of it. */
  offset: number;
  /** When it began, in milliseconds; null where that is not known. */
  since: number | null;
  source: string;
  destination: string;
  application: string;
  name: string;
  process: string;
  bytes: number;
}

export const openColumns: readonly GridColumn[] = [
  { key: 'since', label: 'For', width: 90 },
  { key: 'source', label: 'Source', width: 190 },
  { key: 'destination', label: 'Destination', width: 210 },
  { key: 'application', label: 'Application', width: 110 },
  { key: 'bytes', label: 'Bytes so far', width: 100, number: true },
  { key: 'name', label: 'Name', width: 180, grow: true },
  { key: 'process', label: 'Process', width: 120 },
];

/** The rows of openQuery's answer as flows, the heaviest first. */
export function openFlows(answer: Pick<RowsResponse, 'columns' | 'rows'> | null): OpenFlow[] {
  if (!answer) return [];
  const flows = answer.rows.map((values) => {
    const fields = Object.fromEntries(answer.columns.map((name, index) => [name, values[index] ?? '']));
    return {
      offset: Number(fields.newest),
      since: instant(fields['event.start']),
      source: endpoint(fields, 'source'),
      destination: endpoint(fields, 'destination'),
      application: fields.application || fields['network.transport'] || fields.protocol || '',
      name: fields.sni ?? '',
      process: fields.process ?? '',
      bytes: (Number(fields.out_bytes) || 0) + (Number(fields.in_bytes) || 0),
    };
  });
  return flows.sort((a, b) => b.bytes - a.bytes || b.offset - a.offset);
}
