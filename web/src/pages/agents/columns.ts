import type { GridColumn } from '$lib/table/columns';

export const columns: readonly GridColumn[] = [
  { key: 'state', label: 'State', width: 118, sortable: true },
  { key: 'id', label: 'Agent', width: 180, grow: true, sortable: true },
  { key: 'kind', label: 'Kind', width: 88, sortable: true },
  { key: 'version', label: 'Version', width: 96, sortable: true },
  { key: 'last', label: 'Last event', width: 104, sortable: true },
  { key: 'rate', label: 'Events/s', width: 136, number: true, sortable: true },
  { key: 'cpu', label: 'CPU', width: 76, number: true, sortable: true },
  { key: 'rss', label: 'Memory', width: 88, number: true, sortable: true },
  { key: 'spool', label: 'Spool', width: 84, number: true, sortable: true },
  { key: 'port', label: 'Port', width: 72, number: true, sortable: true },
  { key: 'pid', label: 'PID', width: 84, number: true, sortable: true },
  { key: 'actions', label: 'Actions', width: 116, labelUnseen: true },
];
