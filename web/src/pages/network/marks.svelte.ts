import { api } from '$lib/api/endpoints';
import type { EventsResponse } from '$lib/api/types';
import { sinceUntil } from '$lib/router/timerange';
import { Loadable } from '$lib/stores/loadable.svelte';
import { timeRange } from '$lib/stores/timerange.svelte';
import { foundQuery } from '../findings/finding';
import { markedBy } from './gravity';

const most = 500;
const refreshEvery = 10_000;
/** The addresses that the newest findings of the chosen range name. */
export class Marks {
  /** Whether findings of replayed captures are among them. */
  captures = false;
  loaded = new Loadable<EventsResponse>(() => this.load());
  marked = $derived(markedBy(this.loaded.data?.events ?? []));
  /** Whether there are more findings than were looked at. */
  cut = $derived((this.loaded.data?.total ?? 0) > most);

  /** Looks from now on. Returns its end. */
  start(captures: boolean): () => void {
    this.captures = captures;
    void this.load();
    const timer = setInterval(() => {
      if (timeRange.live && !document.hidden && !this.loaded.loading && !this.loaded.error) void this.load();
    }, refreshEvery);
    return () => {
      clearInterval(timer);
      this.loaded.cancel();
    };
  }

  load(): Promise<unknown> {
    const found = foundQuery(this.captures);
    const query = { query: found, ...sinceUntil(timeRange.value), limit: most };
    return this.loaded.load((signal) => api.events(query, signal));
  }
}
