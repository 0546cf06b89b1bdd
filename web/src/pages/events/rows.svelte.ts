import { ApiError } from '$lib/api/client';
import { api } from '$lib/api/endpoints';
import type { RowsResponse } from '$lib/api/types';
import { sinceUntil } from '$lib/router/timerange';
import { Loadable } from '$lib/stores/loadable.svelte';
import { timeRange } from '$lib/stores/timerange.svelte';

const most = 1000;
const refreshEvery = 10_000;
/** Counting takes at most this share of the time. */
const refreshShare = 0.05;

/** The table that a query with pipes makes, and makes again while its range ends now. */
export class Rows {
  loaded = new Loadable<RowsResponse>(() => this.load());
  paused = $state(false);
  /** What is wrong with the query. */
  wrong = $derived(
    this.loaded.error instanceof ApiError && this.loaded.error.status === 400 ? this.loaded.error : null,
  );
  #query = '';

  /** Runs a query from now on. Returns its end. */
  start(query: string): () => void {
    if (query !== this.#query) this.loaded.data = null;
    this.#query = query;
    void this.load();
    let timer = setTimeout(() => void again(), refreshEvery);
    let ended = false;
    const again = async () => {
      if (timeRange.live && !this.paused && !document.hidden && !this.loaded.loading && !this.loaded.error)
        await this.load();
      const took = this.loaded.data?.took_ms ?? 0;
      if (!ended) timer = setTimeout(() => void again(), Math.max(refreshEvery, took / refreshShare));
    };
    return () => {
      ended = true;
      clearTimeout(timer);
      this.loaded.cancel();
    };
  }

  async load(): Promise<void> {
    const query = { query: this.#query, ...sinceUntil(timeRange.value), limit: most };
    await this.loaded.load((signal) => api.rows(query, signal));
    if (this.wrong) this.loaded.data = null;
  }
}
