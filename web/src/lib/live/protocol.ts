import type { ServerMessage } from '../api/types';

export type { SeriesPoint, ServerMessage } from '../api/types';

/** What a page asks for on the one WebSocket of its tab. */
export type Topic =
  | { topic: 'events'; query: string; without?: string | undefined; from: number | null }
  | { topic: 'agents' }
  | { topic: 'overview' }
  | { topic: 'devices' }
  | { topic: 'series'; names: string[] };

export type TopicMessage = Exclude<ServerMessage, { type: 'hello' } | { type: 'pong' } | { type: 'hub' }>;
