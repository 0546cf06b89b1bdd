import type { PacketsWish } from '../packets/packets';
import { queryString, request, requestFile, requestLines } from './client';
import type {
  Agent,
  AgentsStatus,
  AgentTask,
  BackupAnswer,
  Completion,
  EventDetail,
  EventsResponse,
  FieldInfo,
  FieldValues,
  MadeToken,
  Overview,
  RowsResponse,
  SavedKind,
  SavedQuery,
  SavedText,
  SeriesResponse,
  Session,
  StoreAnswer,
  TaskProgress,
} from './types';

export type AgentAction = 'start' | 'stop' | 'restart';

export interface EventsQuery {
  query?: string;
  /** A type to leave out. */
  without?: string | undefined;
  since?: string;
  until?: string;
  limit?: number;
  before?: number;
  page?: string;
  /** Leaves counting for later. */
  no_total?: 'true';
  histogram?: number;
  facets?: string;
}

/** Which events a call is about. */
export interface EventsRange {
  query?: string;
  without?: string | undefined;
  since?: string;
  until?: string;
}

export type ExportFormat = 'csv' | 'jsonl' | 'ndjson-ecs' | 'ocsf' | 'parquet';

export interface SeriesQuery {
  names: string;
  since?: string;
  until?: string;
  step?: string;
}

/** Every call the pages make, one line each. */
export const api = {
  session: () => request<Session>('/api/session'),
  login: (username: string, password: string) =>
    request<Session>('/api/login', { method: 'POST', body: { username, password } }),
  logout: () => request<void>('/api/logout', { method: 'POST' }),
  changePassword: (oldPassword: string, newPassword: string) =>
    request<void>('/api/password', {
      method: 'POST',
      body: { old_password: oldPassword, new_password: newPassword },
    }),
  overview: (range: { since?: string; until?: string }, signal?: AbortSignal) =>
    request<Overview>('/api/overview', { query: { ...range }, signal }),
  series: (query: SeriesQuery, signal?: AbortSignal) =>
    request<SeriesResponse>('/api/series', { query: { ...query }, signal }),
  agents: (signal?: AbortSignal) => request<AgentsStatus>('/api/agents/status', { signal }),
  commandAgent: (id: string, host: string, action: AgentAction) =>
    request<{ agent: Agent }>(
      `/api/agents/${encodeURIComponent(id)}/${action}?host=${encodeURIComponent(host)}`,
      {
        method: 'POST',
      },
    ),
  makeToken: (host: string) =>
    request<MadeToken>('/api/tokens', { method: 'POST', body: host ? { host } : {} }),
  forgetHost: (host: string) =>
    request<{ agents: number }>(`/api/hosts/${encodeURIComponent(host)}/forget`, { method: 'POST' }),
  agentLogs: (id: string, host: string, lines: number, signal?: AbortSignal) =>
    request<{ lines: string[] }>(`/api/agents/${encodeURIComponent(id)}/logs`, {
      query: { host, lines },
      signal,
    }),
  agentTasks: (id: string, host: string, signal?: AbortSignal) =>
    request<{ tasks: AgentTask[] }>(`/api/agents/${encodeURIComponent(id)}/tasks`, {
      query: { host },
      signal,
    }),
  runTask: (
    id: string,
    host: string,
    task: string,
    parameters: Record<string, string>,
    take: (line: TaskProgress) => void,
    signal: AbortSignal,
  ) =>
    requestLines<TaskProgress>(
      `/api/agents/${encodeURIComponent(id)}/tasks/${encodeURIComponent(task)}`,
      { method: 'POST', query: { host }, body: { parameters }, signal },
      take,
    ),
  resultAddress: (id: string, host: string, run: string) =>
    `/api/agents/${encodeURIComponent(id)}/results/${run}${queryString({ host })}`,
  savePackets: (wish: PacketsWish, signal: AbortSignal) =>
    requestFile('/api/packets', { method: 'POST', body: wish, signal }, 'Packets-Saved'),
  events: (query: EventsQuery, signal?: AbortSignal) =>
    request<EventsResponse>('/api/events', { query: { ...query }, signal }),
  event: (offset: number, neighbours: number, signal?: AbortSignal) =>
    request<EventDetail>(`/api/events/${offset}`, { query: { neighbours }, signal }),
  rows: (query: { query: string; since?: string; until?: string; limit?: number }, signal?: AbortSignal) =>
    request<RowsResponse>('/api/query/rows', { query: { ...query }, signal }),
  exportAddress: (query: EventsRange & { format: ExportFormat; columns?: string }) =>
    `/api/events/export${queryString({ ...query })}`,
  fieldValues: (
    name: string,
    query: EventsRange & { prefix?: string; limit?: number },
    signal?: AbortSignal,
  ) =>
    request<FieldValues>(`/api/fields/${encodeURIComponent(name)}/values`, { query: { ...query }, signal }),
  fieldCounts: (query: EventsRange, signal?: AbortSignal) =>
    request<{ fields: FieldInfo[] }>('/api/fields', { query: { ...query }, signal }),
  complete: (
    query: { query: string; cursor: number; since?: string; until?: string; stored?: 'true' },
    signal?: AbortSignal,
  ) => request<Completion>('/api/query/complete', { query: { ...query }, signal }),
  savedQueries: (kind: SavedKind) => request<{ queries: SavedQuery[] }>('/api/queries', { query: { kind } }),
  saveQuery: (text: SavedText) => request<SavedQuery>('/api/queries', { method: 'POST', body: text }),
  changeQuery: (id: number, text: SavedText) =>
    request<SavedQuery>(`/api/queries/${id}`, { method: 'PUT', body: text }),
  deleteQuery: (id: number) => request<void>(`/api/queries/${id}`, { method: 'DELETE' }),
  backup: (signal?: AbortSignal) => request<BackupAnswer>('/api/backup', { signal }),
  store: (signal?: AbortSignal) => request<StoreAnswer>('/api/store', { signal }),
  fields: () => request<{ fields: FieldInfo[] }>('/api/fields'),
};
