/** The shapes of the REST API, by the names the pages use. */

export type Severity = 'informational' | 'low' | 'medium' | 'high' | 'critical' | 'unknown';
export type Role = 'viewer' | 'analyst' | 'admin';
export type Health = 'green' | 'yellow' | 'red' | 'unknown';
export type AgentState = 'starting' | 'running' | 'degraded' | 'stopping' | 'stopped' | 'crashed' | 'unknown';

export type FieldValue = string | number | boolean | null | FieldValue[];

/** One stored event; `fields` is flat, by ECS and OCSF names. */
export interface Event {
  offset: number;
  id: string;
  time: string;
  logged_time: string;
  type: string;
  severity: Severity;
  host: string;
  agent: string;
  agent_kind: string;
  publisher: string;
  message: string;
  fields: Record<string, FieldValue>;
}

export interface Agent {
  id: string;
  kind: string;
  host: string;
  node: string;
  version: string;
  state: AgentState;
  health: Health;
  detail: string;
  pid: number;
  port: number;
  started_at: string | null;
  last_event_at: string | null;
  events_total: number;
  events_per_second: number;
  events_dropped_total: number;
  cpu_percent: number;
  rss_bytes: number;
  spool_bytes: number;
  spool_events: number;
  restarts: number;
  node_connected: boolean;
  enabled: boolean;
}

export interface NodeInfo {
  id: string;
  host: string;
  connected: boolean;
  version: string;
}

export interface AgentsStatus {
  agents: Agent[];
  nodes: NodeInfo[];
  time: string;
}

export interface User {
  name: string;
  role: Role;
}

export interface Session {
  user: User;
  csrf_token: string;
  expires_at: string;
  version?: string;
}

export interface OverviewStatus {
  status: {
    state: 'ok' | 'degraded' | 'failed' | 'unreachable';
    reasons: string[] | null;
    version: string;
    uptime_seconds: number;
  };
  log: {
    state: string;
    reason: string;
    first_offset: number;
    next_offset: number;
    bytes: number;
    segments: number;
    oldest_time: string | null;
    free_bytes: number;
  };
  store: { state: string; events: number; capacity: number; oldest_time: string | null };
  agents: { total: number; green: number; yellow: number; red: number; unknown: number };
  subscribers: { name: string; offset: number; lag_events: number }[] | null;
  rate: {
    events_per_second: number;
    events_total: number;
    errors_total: number;
    connections: number;
    queue_depth: number;
  };
  latency_ms: { p50: number; p99: number; p999: number };
  findings: { total: number; by_severity: Partial<Record<Severity, number>> };
  top: {
    processes: TopProcess[] | null;
    hosts: { name: string; events_per_second: number }[] | null;
    types: { type: string; count: number }[] | null;
  };
}

export interface TopProcess {
  name: string;
  host: string;
  cpu_percent: number;
  rss_bytes: number;
  pid: number;
  uid: string;
}

export interface Overview extends OverviewStatus {
  recent: Event[] | null;
}

export interface TimeSeries {
  name: string;
  labels: Record<string, string>;
  unit: string;
  values: (number | null)[];
}

export interface SeriesResponse {
  start: string;
  step_seconds: number;
  series: TimeSeries[];
}

export interface Facet {
  field: string;
  values: { value: string; count: number }[];
  distinct: number;
}

export interface EventsResponse {
  events: Event[];
  total: number;
  scanned: number;
  took_ms: number;
  histogram: { start: string; step_seconds: number; counts: number[] } | null;
  facets: Facet[] | null;
  store: {
    state: string;
    events: number;
    capacity: number;
    oldest_time: string | null;
    next_offset?: number;
  };
  next_before: number | null;
}

export interface EventDetail {
  event: Event;
  raw: Record<string, unknown>;
  before: Event[] | null;
  after: Event[] | null;
  related: Event[] | null;
}

export interface FieldInfo {
  name: string;
  type: string;
  description: string;
  example_values?: string[] | null;
}
