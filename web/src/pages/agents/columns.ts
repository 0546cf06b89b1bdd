import type { Agent } from '$lib/api/types';
import type { GridColumn } from '$lib/table/columns';

/** The columns that can be left out, and what an export writes for them. */
export const columns: readonly (GridColumn & { value: (agent: Agent) => unknown })[] = [
  { key: 'state', label: 'State', width: 116, sortable: true, value: (agent) => agent.state },
  {
    key: 'id',
    label: 'Agent',
    width: 156,
    grow: true,
    sortable: true,
    value: (agent) => `${agent.host}/${agent.id}`,
  },
  { key: 'kind', label: 'Kind', width: 80, sortable: true, value: (agent) => agent.kind },
  { key: 'version', label: 'Version', width: 72, sortable: true, value: (agent) => agent.version },
  { key: 'last', label: 'Last event', width: 92, sortable: true, value: (agent) => agent.last_event_at },
  {
    key: 'rate',
    label: 'Events/s',
    width: 124,
    number: true,
    sortable: true,
    value: (agent) => agent.events_per_second,
  },
  { key: 'cpu', label: 'CPU', width: 62, number: true, sortable: true, value: (agent) => agent.cpu_percent },
  { key: 'rss', label: 'Memory', width: 80, number: true, sortable: true, value: (agent) => agent.rss_bytes },
  {
    key: 'spool',
    label: 'Spool',
    width: 72,
    number: true,
    sortable: true,
    value: (agent) => agent.spool_bytes,
  },
  {
    key: 'certificate',
    label: 'Certificate ends',
    width: 116,
    sortable: true,
    value: (agent) => agent.certificate_ends_at,
  },
  { key: 'port', label: 'Port', width: 62, number: true, sortable: true, value: (agent) => agent.port },
  { key: 'pid', label: 'PID', width: 68, number: true, sortable: true, value: (agent) => agent.pid },
];

/** Those that are shown until somebody chooses. */
export const usualColumns = columns.map((column) => column.key).filter((key) => key !== 'certificate');

/** What can be done comes last, always. */
export const actions: GridColumn = { key: 'actions', label: 'Actions', width: 96, labelUnseen: true };
