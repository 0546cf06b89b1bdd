import { prometheus } from '../api/prometheus';
import { frameOfAnswers, type SeriesFrame } from '../promql/results';
import { refreshEvery, windowOf } from '../promql/window';
import { now } from '../time/now';
import { Loadable } from './loadable.svelte';
import { timeRange } from './timerange.svelte';

/** What a query gives over the time range, each series under the name that tells it from the others. */
export class Curves {
  loaded = new Loadable<SeriesFrame>(() => this.load());
  #query: (range: string) => string = () => '';
  #unit = '';

  /** Asks, and goes on asking while the range ends now and somebody looks. `query` is given how long the range is, such as "900s". */
  start(query: (range: string) => string, unit: string): () => void {
    this.#query = query;
    this.#unit = unit;
    void this.load();
    const every = refreshEvery(windowOf(timeRange.value, 'auto', now()));
    const timer = setInterval(() => {
      if (timeRange.live && !document.hidden && !this.loaded.loading && !this.loaded.error) void this.load();
    }, every);
    return () => {
      clearInterval(timer);
      this.loaded.cancel();
    };
  }

  load(): Promise<unknown> {
    const window = windowOf(timeRange.value, 'auto', now());
    const query = this.#query(`${Math.max(10, window.end - window.start)}s`);
    return this.loaded.load(async (signal) => {
      const { data } = await prometheus.range({ query, ...window }, signal);
      const frame = frameOfAnswers(
        [{ query, data, unit: this.#unit }],
        window.start,
        window.end,
        window.step,
      );
      return { ...frame, lines: frame.lines.map((line) => ({ ...line, label: line.name })) };
    });
  }
}
