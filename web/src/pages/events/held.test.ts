import { describe, expect, it } from 'vitest';
import type { Event } from '$lib/api/types';
import { Held } from './held';

const event = (offset: number) => ({ offset }) as Event;
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

  it('know when too many came to wait', () => {
    const held = new Held([event(1)]);
    held.addNewer(range(2, 6000), 5999, 5999);
    expect(held.overflowed).toBe(true);
    expect(held.waiting).toBe(5999);
  });
});
