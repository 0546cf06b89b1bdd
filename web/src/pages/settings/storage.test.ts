import { describe, expect, it } from 'vitest';
import type { StoreAnswer, StoreDay } from '$lib/api/types';
import { bytesAnEvent, dayBars, dayState, retentionText } from './storage';

const day = (name: string, events: number, state: StoreDay['state'] = 'ok'): StoreDay => ({
  day: name,
  events,
  bytes: events * 100,
  state,
  reason: '',
});
const store = (change: Partial<StoreAnswer['store']>) => change as StoreAnswer['store'];

describe('days of the store', () => {
  it('stand in order, with those that hold nothing', () => {
    const bars = dayBars([
      day('2026-01-04', 10),
      day('2026-01-02', 5, 'rebuilding'),
      day('2026-01-01', 0, 'set_aside'),
    ]);
    expect(bars.map(({ day: name, share, tone }) => [name, share, tone])).toEqual([
      ['2026-01-01', 0, 'critical'],
      ['2026-01-02', 0.5, 'warning'],
      ['2026-01-03', 0, 'unknown'],
      ['2026-01-04', 1, 'ok'],
    ]);
    expect(bars[1]?.says).toBe('2026-01-02: 5 events, 500 B, being rebuilt from the log');
  });

  it('are none of an empty store, and at most sixty', () => {
    expect(dayBars([])).toEqual([]);
    expect(dayBars([day('2020-01-01', 1), day('2026-01-01', 1)])).toHaveLength(60);
  });

  it('have states in words', () => {
    expect(dayState(day('2026-01-01', 0, 'set_aside'))).toEqual({ tone: 'critical', word: 'set aside' });
  });
});

describe('what is kept', () => {
  it.each([
    [{ retention_seconds: 30 * 86_400, retention_bytes: 40e9 }, ['30 days', '40.0 GB at most']],
    [{ retention_seconds: 86_400, retention_bytes: 0 }, ['1 day', 'of any size']],
    [{ retention_seconds: null, retention_bytes: 0 }, ['as long as there is room', 'of any size']],
  ])('%j is %j', (change, [time, size]) => {
    expect(retentionText(store(change))).toEqual({ time, size });
  });

  it('costs so many bytes an event', () => {
    expect(bytesAnEvent(store({ events: 10, bytes: 1100 }))).toBe(110);
    expect(bytesAnEvent(store({ events: 0, bytes: 0 }))).toBeNull();
  });
});
