import type { GridColumn } from '$lib/table/columns';

export const columns: readonly GridColumn[] = [
  { key: 'state', label: 'State', width: 104, sortable: true },
  { key: 'id', label: 'Agent', width: 156, grow: true, sortable: true },
  { key: 'kind', label: 'Kind', width: 80, sortable: true },
  { key: 'version', label: 'Version', width: 72, sortable: true },
  { key: 'last', label: 'Last event', width: 92, sortable: true },
  { key: 'rate', label: 'Events/s', width: 124, number: true, sortable: true },
  { key: 'cpu', label: 'CPU', width: 62, number: true, sortable: true },
  { key: 'rss', label: 'Memory', width: 80, number: true, sortable: true },
  { key: 'spool', label: 'Spool', width: 72, number: true, sortable: true },
  { key: 'port', label: 'Port', width: 62, number: true, sortable: true },
  { key: 'pid', label: 'PID', width: 68, number: true, sortable: true },
  { key: 'actions', label: 'Actions', width: 96, labelUnseen: true },
];
