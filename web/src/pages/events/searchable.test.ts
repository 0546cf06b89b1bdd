import { describe, expect, it } from 'vitest';
import type { EventsResponse, OverviewStatus } from '$lib/api/types';
import { searchableFrom } from './searchable';

const at = (minute: number) => Date.UTC(2026, 0, 1, 12, minute);
const text = (minute: number) => new Date(at(minute)).toISOString();
const answer = (events: number) => ({ store: { events, oldest_time: text(30) } }) as EventsResponse;
const log = (events: number) =>
  ({ first_offset: 0, next_offset: events, oldest_time: text(0) }) as OverviewStatus['log'];

describe('what can be searched', () => {
  it.each([
    ['older events are in the log alone', answer(100_000), log(500_000), 10, at(30)],
    ['the range begins later', answer(100_000), log(500_000), 40, null],
    ['all of the log is there', answer(500_000), log(500_000), 10, null],
    ['nothing is known yet', null, log(1), 10, null],
  ])('%s', (_, found, logged, from, wanted) => {
    expect(searchableFrom(found, logged, at(from))).toBe(wanted);
  });
});
