import { router } from '../router/router.svelte';
import { bounds, isLive, parseRange, rangeIn, type TimeRange } from '../router/timerange';

/** The time range of this tab, which the address holds and every page shares. */
class TimeRangeStore {
  value = $derived(parseRange(router.params));
  live = $derived(isLive(this.value));
  /** Changes exactly when the range does: what an effect that loads data reads. */
  key = $derived(`${this.value.range}|${this.value.from}|${this.value.to}`);

  choose(range: string): void {
    this.#write({ range, from: null, to: null });
  }

  /** Shows only part of the time; `reset` goes back. */
  zoom(from: number, to: number): void {
    if (to - from < 1000) return;
    this.#write({ ...this.value, from: Math.floor(from), to: Math.ceil(to) });
  }

  reset(): void {
    if (!this.live) this.#write({ ...this.value, from: null, to: null });
  }

  bounds(now: number): { from: number; to: number } {
    return bounds(this.value, now);
  }

  #write(range: TimeRange): void {
    const query = rangeIn(router.params, range).toString();
    router.go(router.path + (query ? `?${query}` : ''));
  }
}

export const timeRange = new TimeRangeStore();
