import { ApiError } from '$lib/api/client';
import { api } from '$lib/api/endpoints';
import type { Event, EventsResponse } from '$lib/api/types';
import { live } from '$lib/live/live.svelte';
import { pace } from '$lib/live/pace';
import type { TopicMessage } from '$lib/live/protocol';
import { sinceUntil } from '$lib/router/timerange';
import { Loadable } from '$lib/stores/loadable.svelte';
import { timeRange } from '$lib/stores/timerange.svelte';
import { now } from '$lib/time/now';
import { countsQuery, pageSize, type Search, searchQuery } from './ask';
import { Held } from './held';

const refreshEvery = 5000;
/** Counting takes at most this share of the time. */
const refreshShare = 0.05;
/** After a longer sleep of the tab a new search is kinder than all that was missed. */
const longestCatchUp = 30_000;

/** What a search found, and what comes in live behind it. */
export class Events {
  loaded = new Loadable<EventsResponse>(() => this.search());
  rows = $state.raw<readonly Event[]>([]);
  paused = $state(false);
  /** Events that came while paused. */
  waiting = $state(0);
  /** One in how many is shown of what comes live; 1 is all. */
  sampled = $state(1);
  gap = $state<string | null>(null);
  /** What is wrong with the query: then nothing is shown, and nothing followed. */
  wrong = $derived(
    this.loaded.error instanceof ApiError && this.loaded.error.status === 400 ? this.loaded.error : null,
  );
  loadingOlder = $state(false);
  nextBefore = $state<number | null>(null);
  #held = new Held();
  #search: Search = { query: '', without: undefined };
  #stop: (() => void) | null = null;
  #changed = false;
  #show = pace(() => this.#publish(), 100);
  #hiddenAt = 0;

  /** Searches anew and, where the range ends now, follows what comes. Returns its end. */
  start(search: Search): () => void {
    this.#search = search;
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
      api.events(searchQuery(this.#search, timeRange.value), signal),
    );
    if (this.wrong) this.#forget();
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
        ...this.#search,
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

  /** Rows of another query would pass for those of this one. */
  #forget(): void {
    this.#held = new Held();
    this.rows = [];
    this.waiting = 0;
    this.nextBefore = null;
    this.loaded.data = null;
  }

  /** The search says what it is complete to: what comes from there was not in it, and all else was. */
  #follow(answer: EventsResponse): void {
    this.#stop = live.subscribe(
      { topic: 'events', ...this.#search, from: answer.complete_to_offset },
      (message) => this.#receive(message),
    );
  }

  #unsubscribe(): void {
    this.#stop?.();
    this.#stop = null;
  }

  #receive(message: TopicMessage): void {
    if (message.type === 'gap') {
      this.gap = message.reason;
    } else if (message.type === 'error') {
      this.#unsubscribe();
      this.gap = `no longer live: ${message.detail}`;
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
    if (!timeRange.live || this.paused || document.hidden || !moved || this.loaded.loading || this.wrong)
      return 0;
    this.#changed = false;
    const search = this.#search;
    try {
      const answer = await api.events(countsQuery(search, timeRange.value));
      if (this.loaded.data && search === this.#search && !this.loaded.loading) this.loaded.data = answer;
      return answer.took_ms;
    } catch {
      // The stale line says so; the rows stay right.
      return 0;
    }
  }

  #woke(): void {
    if (document.hidden) this.#hiddenAt = now();
    else if (timeRange.live && !this.paused && now() - this.#hiddenAt > longestCatchUp) void this.search();
  }
}
