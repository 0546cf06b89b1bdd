import type { Event, Lack, StoreAnswer } from '../../src/lib/api/types';
import type { World } from './world';

/** What stands in the place of the store's own status, in tests of its states. */
export interface FakeStore {
  state: string;
  reason: string;
  lag: number;
  lacks: Lack[];
  /** Days that are not ok, by how many days ago they were. */
  troubled: Map<number, { state: 'rebuilding' | 'set_aside'; reason: string }>;
}

export const calmStore = (): FakeStore => ({
  state: 'ok',
  reason: '',
  lag: 0,
  lacks: [],
  troubled: new Map(),
});

const dayOf = (time: number) => new Date(time).toISOString().slice(0, 10);

export function storeAnswer(world: World, now: number): StoreAnswer {
  const { store } = world;
  const days = Array.from({ length: 21 }, (_, ago) => {
    const trouble = store.troubled.get(ago);
    const events = trouble?.state === 'set_aside' ? 0 : Math.round(3_100_000 + 900_000 * Math.sin(ago * 1.7));
    return {
      day: dayOf(now - ago * 86_400_000),
      events: ago === 0 ? Math.round(events / 3) : events,
      bytes: Math.round((ago === 0 ? events / 3 : events) * 112),
      state: trouble?.state ?? ('ok' as const),
      reason: trouble?.reason ?? '',
    };
  });
  const sum = (key: 'events' | 'bytes') => days.reduce((total, day) => total + day[key], 0);
  return {
    state: store.state === 'ok' ? 'ok' : 'degraded',
    reasons: store.reason ? [store.reason] : [],
    version: '0.1.0',
    time: new Date(now).toISOString(),
    store: {
      state: store.state,
      reason: store.reason,
      events: world.options.history ? sum('events') : 0,
      capacity: 0,
      oldest_time: world.options.history ? `${days.at(-1)?.day}T00:00:03Z` : null,
      next_offset: world.events.length,
      lag_events: store.lag,
      bytes: sum('bytes'),
      free_bytes: 213e9,
      retention_seconds: 30 * 86_400,
      retention_bytes: 40e9,
      engine_restarts: store.troubled.size,
      clusters: [],
      days: world.options.history ? days : [],
      readings: {
        state: 'ok',
        reason: '',
        series: 1204,
        oldest_time: world.options.history ? `${days.at(-1)?.day}T00:00:03Z` : null,
        bytes: 7_300_000,
        lag_events: 0,
        retention_seconds: 400 * 86_400,
        retention_bytes: 4 * 2 ** 30,
        set_aside: 0,
      },
    },
  };
}

/** What an export of events writes. */
export function exported(events: readonly Event[], format: string, columns: readonly string[]): string {
  if (format !== 'csv') return events.map((event) => `${JSON.stringify(event.fields)}\n`).join('');
  const own = (event: Event, name: string) =>
    (event as unknown as Record<string, unknown>)[name] ?? event.fields[name] ?? '';
  const lines = events.map((event) => columns.map((name) => String(own(event, name))).join(','));
  return `${[columns.join(','), ...lines].join('\r\n')}\r\n`;
}
