import { describe, expect, it } from 'vitest';
import type { Event } from '$lib/api/types';
import { Held } from './held';

const at = (second: number) => new Date(1_700_000_000_000 + second * 1000).toISOString();
const event = (offset: number, second = offset) => ({ offset, time: at(second) }) as Event;
const range = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, each) => event(from + each));
const offsets = (events: readonly Event[]) => events.map((each) => each.offset);

describe('events held', () => {
  it('come out newest first', () => {
    const held = new Held([event(3), event(1)]);
    held.addNewer([event(4), event(6)], 2, 2);
    held.release();
    expect(offsets(held.shown)).toEqual([6, 4, 3, 1]);
  });

  it('are there once, however often a reconnect brings them', () => {
    const held = new Held([event(3)]);
    held.addNewer(range(2, 5), 4, 4);
    expect(held.addNewer(range(4, 5), 2, 2)).toBe(false);
    held.addNewer(range(5, 6), 2, 2);
    held.release();
    expect(offsets(held.shown)).toEqual([6, 5, 4, 3]);
  });

  it('wait and are counted until released', () => {
    const held = new Held([event(1)]);
    held.addNewer(range(2, 11), 10, 10);
    expect(held.waiting).toBe(10);
    expect(offsets(held.shown)).toEqual([1]);
    held.release();
    expect(held.waiting).toBe(0);
    expect(held.shown).toHaveLength(11);
  });

  it('say one in how many is shown', () => {
    const held = new Held();
    held.addNewer([event(4)], 1, 4);
    expect(held.ratio).toBe(4);
    expect(held.waiting).toBe(4);
    expect(new Held().ratio).toBe(1);
  });

  it('stay within bounds, and old ones can be loaded again', () => {
    const held = new Held(range(1, 10).reverse());
    held.addNewer(range(11, 5005), 4995, 4995);
    expect(held.release()).toBe(true);
    expect(held.shown).toHaveLength(5000);
    expect(held.oldest).toBe(6);
    held.addOlder(range(1, 6).reverse());
    expect(held.oldest).toBe(1);
    expect(held.shown).toHaveLength(5005);
  });

  it('stand where they happened, however late they came', () => {
    const held = new Held([event(3, 30), event(1, 10)]);
    held.addNewer([event(4, 20), event(5, 40), event(6, 5)], 3, 3);
    held.release();
    expect(offsets(held.shown)).toEqual([5, 3, 4, 1, 6]);
    held.addOlder([event(6, 5), event(2, 1)]);
    expect(offsets(held.shown)).toEqual([5, 3, 4, 1, 6, 2]);
  });

  it('are told apart within a millisecond', () => {
    const fine = (offset: number, fraction: string) =>
      ({ offset, time: `2026-01-01T00:00:00${fraction}Z` }) as Event;
    const held = new Held([]);
    held.addNewer([fine(1, '.123456'), fine(2, ''), fine(3, '.1235'), fine(4, '.123456')], 4, 4);
    held.release();
    expect(offsets(held.shown)).toEqual([3, 4, 1, 2]);
  });

  it('know when too many came to wait', () => {
    const held = new Held([event(1)]);
    held.addNewer(range(2, 6000), 5999, 5999);
    expect(held.overflowed).toBe(true);
    expect(held.waiting).toBe(5999);
  });
});
