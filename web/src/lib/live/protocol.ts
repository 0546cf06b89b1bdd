import type { Agent, Event, OverviewStatus } from '../api/types';

/** What a page asks for on the one WebSocket of its tab. */
export type Topic =
  | { topic: 'events'; query: string; after: number | null }
  | { topic: 'agents' }
  | { topic: 'overview' }
  | { topic: 'series'; names: string[] };

export interface SeriesPoint {
  name: string;
  labels: Record<string, string>;
  unit: string;
  value: number | null;
}

export type ServerMessage =
  | {
      id: string;
      type: 'events';
      events: Event[] | null;
      next: number;
      tail: number;
      shown: number;
      of: number;
    }
  | { id: string; type: 'gap'; from: number; to: number; reason: string }
  | { id: string; type: 'agents'; snapshot: boolean; agents: Agent[] | null; removed: string[] | null }
  | ({ id: string; type: 'overview' } & OverviewStatus)
  | { id: string; type: 'series'; time: string; points: SeriesPoint[] | null }
  | { id: string; type: 'error'; detail: string; position?: number }
  | { id?: undefined; type: 'pong' }
  | { id?: undefined; type: 'hub'; connected: boolean; since: string };

export type TopicMessage = Exclude<ServerMessage, { type: 'pong' } | { type: 'hub' }>;
