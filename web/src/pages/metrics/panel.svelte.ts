import { ApiError, isAbort } from '$lib/api/client';
import { prometheus, type QueryData } from '$lib/api/prometheus';
import { refreshEvery, type Window, windowOf } from '$lib/promql/window';
import { Loadable } from '$lib/stores/loadable.svelte';
import { timeRange } from '$lib/stores/timerange.svelte';
import { now } from '$lib/time/now';
import type { Step } from './state';

/** What one query gave. */
export interface Answer {
  query: string;
  /** Over the window; null where the query gives nothing that has a value at each time. */
  range: QueryData | null;
  /** At the end of the window. */
  instant: QueryData | null;
  /** Why there is no answer. */
  error: ApiError | null;
  /** What Prometheus says of it beside. */
  notes: string[];
}

export interface PanelAnswer {
  window: Window;
  answers: Answer[];
}

/** The answers to the queries of a page, over its time range. */
export class Panel {
  loaded = new Loadable<PanelAnswer>(() => this.load());
  #queries: readonly string[] = [];
  #step: Step = 'auto';

  /** Asks, and goes on asking while the range ends now and somebody looks. */
  start(queries: readonly string[], step: Step): () => void {
    this.#queries = queries;
    this.#step = step;
    if (queries.length === 0) {
      this.loaded.cancel();
      this.loaded.data = null;
      this.loaded.error = null;
      return () => {};
    }
    void this.load();
    const every = refreshEvery(windowOf(timeRange.value, step, now()));
    const timer = setInterval(() => {
      if (timeRange.live && !document.hidden && !this.loaded.loading && !this.loaded.error) void this.load();
    }, every);
    return () => {
      clearInterval(timer);
      this.loaded.cancel();
    };
  }

  load(): Promise<unknown> {
    const window = windowOf(timeRange.value, this.#step, now());
    return this.loaded.load(async (signal) => ({
      window,
      answers: await Promise.all(this.#queries.map((query) => ask(query, window, signal))),
    }));
  }
}

/** A fault of one query leaves the others be; a store that is away answers none. */
async function ask(query: string, window: Window, signal: AbortSignal): Promise<Answer> {
  const answers = await Promise.allSettled([
    prometheus.range({ query, ...window }, signal),
    prometheus.instant(query, window.end, signal),
  ]);
  const [range, instant] = answers.map((each) => (each.status === 'fulfilled' ? each.value : null));
  const errors = answers.flatMap((each) => (each.status === 'rejected' ? [each.reason as unknown] : []));
  const grave = errors.find((error) => !isFault(error));
  if (grave !== undefined) throw grave;
  const notes = new Set(
    [range, instant].flatMap((each) => [...(each?.warnings ?? []), ...(each?.infos ?? [])]),
  );
  return {
    query,
    range: range?.data ?? null,
    instant: instant?.data ?? null,
    // A query that has no value at each time, such as metric[5m], is none the worse for it.
    error: instant ? null : (errors[0] as ApiError),
    notes: [...notes],
  };
}

/** Whether a query, and not its way, is at fault. */
function isFault(error: unknown): boolean {
  if (isAbort(error) || !(error instanceof ApiError) || error.away) return false;
  return error.status === 400 || error.status === 422 || error.status === 503;
}
