import { type InstantSeries, type Labels, prometheus } from '../api/prometheus';
import { numberOf } from '../promql/results';
import { now } from '../time/now';
import { Loadable } from './loadable.svelte';
import { timeRange } from './timerange.svelte';

/** A series, and its value. */
export interface Reading {
  labels: Labels;
  value: number;
}

/** How often readings of a range that ends now are asked for anew, in milliseconds: a long one changes slowly, and costs more. */
const everyOf = (range: number) => Math.min(600_000, Math.max(15_000, range / 60));

/** What a query gives at the end of the time range; `make` is given how long the range is, such as "900s". */
export class Readings {
  loaded = new Loadable<Reading[]>(() => this.load());
  #make: (range: string) => string = () => '';

  /** Asks, and goes on asking while the range ends now and somebody looks. */
  start(make: (range: string) => string): () => void {
    this.#make = make;
    void this.load();
    const { from, to } = timeRange.bounds(now());
    const timer = setInterval(
      () => {
        if (timeRange.live && !document.hidden && !this.loaded.loading && !this.loaded.error)
          void this.load();
      },
      everyOf(to - from),
    );
    return () => {
      clearInterval(timer);
      this.loaded.cancel();
    };
  }

  load(): Promise<unknown> {
    const { from, to } = timeRange.bounds(now());
    const query = this.#make(`${Math.max(10, Math.round((to - from) / 1000))}s`);
    return this.loaded.load(async (signal) => {
      const { data } = await prometheus.instant(query, Math.floor(to / 1000), signal);
      return data.resultType === 'vector' ? data.result.flatMap(readingOf) : [];
    });
  }
}

function readingOf({ metric, value }: InstantSeries): Reading[] {
  const number = value ? numberOf(value[1]) : null;
  return number === null ? [] : [{ labels: metric, value: number }];
}
