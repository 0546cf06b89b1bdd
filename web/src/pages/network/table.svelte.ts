import { ApiError } from '$lib/api/client';
import { api } from '$lib/api/endpoints';
import type { RowsResponse } from '$lib/api/types';
import { sinceUntil, type TimeRange } from '$lib/router/timerange';
import { Loadable } from '$lib/stores/loadable.svelte';
import { timeRange } from '$lib/stores/timerange.svelte';

const refreshEvery = 10_000;
/** Counting takes at most this share of the time. */
const refreshShare = 0.05;

/** The answer to one counting query, asked again while its range ends now. */
export class Counted {
  loaded = new Loadable<RowsResponse>(() => this.load());
  #query = '';
  #last: TimeRange | null = null;

  /** Whether the query itself is at fault, which the query bar says. */
  get wrong(): boolean {
    return this.loaded.error instanceof ApiError && this.loaded.error.status === 400;
  }

  /** Runs a query from now on; with `last` over that stretch of time instead of the chosen one. Returns its end. */
  start(query: string, last: string | null = null): () => void {
    if (query !== this.#query) this.loaded.data = null;
    this.#query = query;
    this.#last = last === null ? null : { range: last, from: null, to: null };
    void this.load();
    let ended = false;
    const again = async () => {
      const moves = this.#last !== null || timeRange.live;
      if (moves && !document.hidden && !this.loaded.loading && !this.loaded.error) await this.load();
      const took = this.loaded.data?.took_ms ?? 0;
      if (!ended) timer = setTimeout(() => void again(), Math.max(refreshEvery, took / refreshShare));
    };
    let timer = setTimeout(() => void again(), refreshEvery);
    return () => {
      ended = true;
      clearTimeout(timer);
      this.loaded.cancel();
    };
  }

  async load(): Promise<void> {
    const query = { query: this.#query, ...sinceUntil(this.#last ?? timeRange.value), limit: 5000 };
    await this.loaded.load((signal) => api.rows(query, signal));
    if (this.wrong) this.loaded.data = null;
  }
}
