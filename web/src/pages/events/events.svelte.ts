import { ApiError, explain, isAbort } from '$lib/api/client';
import { api, type EventsQuery } from '$lib/api/endpoints';
import type { Event, EventsResponse } from '$lib/api/types';
import { live } from '$lib/live/live.svelte';
import { pace } from '$lib/live/pace';
import type { TopicMessage } from '$lib/live/protocol';
import { sinceUntil } from '$lib/router/timerange';
import { Loadable } from '$lib/stores/loadable.svelte';
import { timeRange } from '$lib/stores/timerange.svelte';
import { now } from '$lib/time/now';
import { countsLater, countsQuery, pageSize, type Search, searchQuery } from './ask';
import { Held } from './held';
import { usualFacets } from './state';

/** How a page behind the first is asked for, beside what all of them are of. */
type Next = Pick<EventsQuery, 'page' | 'before' | 'until'>;

function nextOf(answer: EventsResponse): Next | null {
  if (answer.next_page) return { page: answer.next_page };
  return answer.events.length > 0 && answer.next_before ? { before: answer.next_before } : null;
}

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
  /** Why what needs the store cannot be asked for now; empty while it answers. */
  away = $derived(this.loaded.away ? 'The store is away: this works again once it answers.' : '');
  loadingOlder = $state(false);
  /** Why there are no counts, though there are rows. */
  uncounted = $state('');
  #abort: AbortController | null = null;
  #counting = false;
  /** Why older events did not come; scrolling on asks again. */
  notOlder = $state('');
  /** How the next page is asked for; null behind the last. */
  next = $state.raw<Next | null>(null);
  #held = new Held();
  #search: Search = { query: '', without: undefined };
  /** The search whose rows are shown. */
  #shownOf: Search | null = null;
  #follows = true;
  #facets: readonly string[] = usualFacets;
  /** The range of the first page, which those behind it are of: a relative one has moved on. */
  #range: { since?: string; until?: string } = {};
  #stop: (() => void) | null = null;
  #changed = false;
  #show = pace(() => this.#publish(), 100);
  #hiddenAt = 0;

  /** Searches anew and, where the range ends now, follows what comes. Returns its end. */
  /** With `follow` what comes is shown; counts alone follow by themselves. */
  start(search: Search, facets: readonly string[], follow = true): () => void {
    this.#search = search;
    this.#follows = follow;
    this.#facets = facets;
    this.#unsubscribe();
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
      this.#abort?.abort();
    };
  }

  async search(): Promise<void> {
    // What comes while the store is away goes on until it has answered.
    if (!this.loaded.away) this.#unsubscribe();
    const range = timeRange.value;
    const from = new Date(timeRange.bounds(now()).from).toISOString();
    const answer = await this.loaded.load((signal) =>
      api.events(searchQuery(this.#search, range, this.#facets), signal),
    );
    if (this.wrong || (this.loaded.away && this.#shownOf !== this.#search)) this.#forget();
    // Without the store what happens now is shown all the same.
    if (this.loaded.away && timeRange.live && this.#follows && !this.#stop) this.#follow(null);
    if (!answer) return;
    this.#range = { ...sinceUntil(range), since: from };
    this.#shownOf = this.#search;
    this.#held = new Held(answer.events);
    this.next = nextOf(answer);
    this.waiting = 0;
    this.sampled = 1;
    this.rows = this.#held.shown;
    this.uncounted = '';
    if (countsLater(range)) void this.#count();
    if (timeRange.live && this.#follows) this.#follow(answer.complete_to_offset);
  }

  pause(on: boolean): void {
    this.paused = on;
    if (on) return;
    if (this.#held.overflowed) void this.search();
    else this.#publish();
  }

  async older(): Promise<void> {
    const next = this.next;
    if (this.loadingOlder || next === null) return;
    this.loadingOlder = true;
    this.notOlder = '';
    const search = this.#search;
    try {
      const answer = await api.events({ ...search, ...this.#range, limit: pageSize, ...next });
      if (search !== this.#search || next !== this.next) return;
      this.#held.addOlder(answer.events);
      const until = next.until === undefined ? {} : { until: next.until };
      const after = nextOf(answer);
      this.next = after && { ...until, ...after };
      this.rows = this.#held.shown;
    } catch (error) {
      if (search === this.#search) this.notOlder = explain(error);
    } finally {
      this.loadingOlder = false;
    }
  }

  /** Rows of another query would pass for those of this one. */
  #forget(): void {
    this.#shownOf = this.#search;
    this.#held = new Held();
    this.rows = [];
    this.waiting = 0;
    this.next = null;
    this.loaded.data = null;
  }

  /** The search says what it is complete to: what comes from there was not in it, and all else was. */
  #follow(from: number | null): void {
    this.#unsubscribe();
    this.#stop = live.subscribe({ topic: 'events', ...this.#search, from }, (message) =>
      this.#receive(message),
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
    const cut = this.#held.release();
    const last = this.#held.shown.at(-1);
    // What had to go is found again from where it was, by its time.
    if (cut && last) this.next = { until: new Date(Date.parse(last.time) + 1).toISOString() };
    this.rows = this.#held.shown;
  }

  /** Counts what was searched for; rows stay as they are. Returns how long that took the server. */
  async #count(): Promise<number> {
    const search = this.#search;
    this.#abort?.abort();
    const abort = new AbortController();
    this.#abort = abort;
    this.#counting = true;
    try {
      const answer = await api.events(countsQuery(search, timeRange.value, this.#facets), abort.signal);
      if (this.loaded.data && search === this.#search && !this.loaded.loading) this.loaded.data = answer;
      this.uncounted = '';
      return answer.took_ms;
    } catch (error) {
      if (!isAbort(error) && search === this.#search) this.uncounted = explain(error);
      return 0;
    } finally {
      if (this.#abort === abort) this.#counting = false;
    }
  }

  /** Counts, histogram and facets follow more slowly than rows. Returns how long that took the server. */
  async #refresh(): Promise<number> {
    const moved = this.#changed || this.rows.length > 0;
    if (this.#counting) return 0;
    if (!timeRange.live || this.paused || document.hidden || !moved || this.loaded.loading || this.wrong)
      return 0;
    this.#changed = false;
    return this.#count();
  }

  #woke(): void {
    if (document.hidden) this.#hiddenAt = now();
    else if (timeRange.live && !this.paused && now() - this.#hiddenAt > longestCatchUp) void this.search();
  }
}
