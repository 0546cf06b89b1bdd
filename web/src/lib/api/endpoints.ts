import { request } from './client';
import type {
  Agent,
  AgentsStatus,
  EventDetail,
  EventsResponse,
  FieldInfo,
  Overview,
  SeriesResponse,
  Session,
} from './types';

export type AgentAction = 'start' | 'stop' | 'restart';

export interface EventsQuery {
  query?: string;
  since?: string;
  until?: string;
  limit?: number;
  before?: number;
  histogram?: number;
  facets?: string;
}

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
  overview: (signal?: AbortSignal) => request<Overview>('/api/overview', { signal }),
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
  agentLogs: (id: string, host: string, lines: number, signal?: AbortSignal) =>
    request<{ lines: string[] }>(`/api/agents/${encodeURIComponent(id)}/logs`, {
      query: { host, lines },
      signal,
    }),
  events: (query: EventsQuery, signal?: AbortSignal) =>
    request<EventsResponse>('/api/events', { query: { ...query }, signal }),
  event: (offset: number, neighbours: number, signal?: AbortSignal) =>
    request<EventDetail>(`/api/events/${offset}`, { query: { neighbours }, signal }),
  fields: () => request<{ fields: FieldInfo[] }>('/api/fields'),
};
