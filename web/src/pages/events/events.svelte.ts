import { api } from '$lib/api/endpoints';
import type { Event, EventsResponse } from '$lib/api/types';
import { live } from '$lib/live/live.svelte';
import { pace } from '$lib/live/pace';
import type { TopicMessage } from '$lib/live/protocol';
import { sinceUntil } from '$lib/router/timerange';
import { Loadable } from '$lib/stores/loadable.svelte';
import { overview } from '$lib/stores/overview.svelte';
import { timeRange } from '$lib/stores/timerange.svelte';
import { Held } from './held';

export const facetFields = ['type', 'severity', 'host', 'agent', 'process.name'];
const pageSize = 200;
const buckets = 80;
const refreshEvery = 5000;
/** Counting takes at most this share of the time. */
const refreshShare = 0.05;
/** After a longer sleep of the tab a new search is kinder than all that was missed. */
const longestCatchUp = 30_000;

/** What a search found, and what comes in live behind it. */
export class Events {
  loaded = new Loadable<EventsResponse>();
  rows = $state.raw<readonly Event[]>([]);
  paused = $state(false);
  /** Events that came while paused. */
  waiting = $state(0);
  /** One in how many is shown of what comes live; 1 is all. */
  sampled = $state(1);
  gap = $state<string | null>(null);
  loadingOlder = $state(false);
  nextBefore = $state<number | null>(null);
  #held = new Held();
  #query = '';
  #stop: (() => void) | null = null;
  #changed = false;
  #show = pace(() => this.#publish(), 100);
  #hiddenAt = 0;
  #fromNothing = false;

  /** Searches anew and, where the range ends now, follows what comes. Returns its end. */
  start(query: string): () => void {
    this.#query = query;
    this.gap = null;
    void this.search();
    let ended = false;
    let timer = setTimeout(() => void again(), refreshEvery);
    const again = async () => {
      const took = await this.#refresh();
      if (ended) return;
      timer = setTimeout(() => void again(), Math.max(refreshEvery, took / refreshShare));
    };
    const visibility = () => this.#woke();
    document.addEventListener('visibilitychange', visibility);
    return () => {
      ended = true;
      clearTimeout(timer);
      document.removeEventListener('visibilitychange', visibility);
      this.#unsubscribe();
      this.#show.cancel();
      this.loaded.cancel();
    };
  }

  async search(): Promise<void> {
    this.#unsubscribe();
    const answer = await this.loaded.load((signal) =>
      api.events(
        {
          query: this.#query,
          ...sinceUntil(timeRange.value),
          limit: pageSize,
          histogram: buckets,
          facets: facetFields.join(','),
        },
        signal,
      ),
    );
    if (!answer) return;
    this.#held = new Held(answer.events);
    this.nextBefore = answer.next_before || null;
    this.waiting = 0;
    this.sampled = 1;
    this.rows = this.#held.shown;
    if (timeRange.live) this.#follow(answer);
  }

  pause(on: boolean): void {
    this.paused = on;
    if (on) return;
    if (this.#held.overflowed) void this.search();
    else this.#publish();
  }

  async older(): Promise<void> {
    if (this.loadingOlder || this.nextBefore === null) return;
    this.loadingOlder = true;
    try {
      const answer = await api.events({
        query: this.#query,
        ...sinceUntil(timeRange.value),
        limit: pageSize,
        before: this.nextBefore,
      });
      this.#held.addOlder(answer.events);
      this.nextBefore = answer.events?.length ? answer.next_before || null : null;
      this.rows = this.#held.shown;
    } catch (error) {
      this.loaded.error = error;
      this.nextBefore = null;
    } finally {
      this.loadingOlder = false;
    }
  }

  #follow(answer: EventsResponse): void {
    // The store's end was read after the search: what came during it would be
    // missed. Whatever comes twice is dropped by its offset.
    const rate = overview.status?.rate.events_per_second ?? 0;
    const during = Math.ceil(rate * (answer.took_ms / 1000 + 0.1)) + 20;
    const end = answer.store.next_offset - 1 - during;
    this.#fromNothing = answer.store.next_offset === 0;
    const after = Math.max(end, this.#held.newest ?? -1);
    this.#stop = live.subscribe(
      { topic: 'events', query: this.#query, after: after < 0 ? null : after },
      (message) => this.#receive(message),
    );
  }

  #unsubscribe(): void {
    this.#stop?.();
    this.#stop = null;
  }

  #receive(message: TopicMessage): void {
    if (this.#fromNothing && message.type === 'events' && message.events.length > 0) {
      // The log was empty, so there was no offset to follow from.
      this.#fromNothing = false;
      void this.search();
      return;
    }
    if (message.type === 'gap') {
      this.gap = message.reason;
    } else if (message.type === 'events') {
      if (!this.#held.addNewer(message.events ?? [], message.shown, message.of)) return;
      this.#changed = true;
      this.#show();
    }
  }

  #publish(): void {
    this.sampled = this.#held.ratio;
    if (this.paused) {
      this.waiting = this.#held.waiting;
      return;
    }
    this.waiting = 0;
    if (this.#held.release()) this.nextBefore = this.#held.oldest ?? this.nextBefore;
    this.rows = this.#held.shown;
  }

  /** Counts, histogram and facets follow more slowly than rows. Returns how long that took the server. */
  async #refresh(): Promise<number> {
    const moved = this.#changed || this.rows.length > 0;
    if (!timeRange.live || this.paused || document.hidden || !moved || this.loaded.loading) return 0;
    this.#changed = false;
    const query = this.#query;
    try {
      const answer = await api.events({
        query: this.#query,
        ...sinceUntil(timeRange.value),
        limit: 1,
        histogram: buckets,
        facets: facetFields.join(','),
      });
      if (this.loaded.data && query === this.#query && !this.loaded.loading) this.loaded.data = answer;
      return answer.took_ms;
    } catch {
      // The stale line says so; the rows stay right.
      return 0;
    }
  }

  #woke(): void {
    if (document.hidden) this.#hiddenAt = Date.now();
    else if (timeRange.live && !this.paused && Date.now() - this.#hiddenAt > longestCatchUp)
      void this.search();
  }
}
