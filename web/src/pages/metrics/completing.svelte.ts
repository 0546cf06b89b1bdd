import { durationOptions, labelOptions, nameOptions, type Option, valueOptions } from '$lib/promql/complete';
import { type Place, placeAt } from '$lib/promql/place';
import { knowledge } from './knowledge.svelte';

/** How long one stops typing before the store is asked for labels or values, in milliseconds. */
const pause = 120;

/** What can stand at the caret of a query. */
export class Completing {
  options = $state.raw<readonly Option[]>([]);
  place = $state.raw<Place | null>(null);
  #abort: AbortController | null = null;

  want(query: string, caret: number): void {
    this.#abort?.abort();
    const place = placeAt(query, caret);
    if (!place) this.clear();
    else if (place.kind === 'name') this.#show(place, nameOptions(place, query, knowledge.catalog));
    else if (place.kind === 'duration') this.#show(place, durationOptions(place, query));
    else {
      const abort = new AbortController();
      this.#abort = abort;
      void this.#ask(place, query, abort.signal);
    }
  }

  clear(): void {
    this.#abort?.abort();
    this.place = null;
    this.options = [];
  }

  #show(place: Place, options: readonly Option[]): void {
    this.place = place;
    this.options = options;
  }

  async #ask(place: Place, query: string, signal: AbortSignal): Promise<void> {
    // What stood there before is of another place.
    if (this.place?.kind !== place.kind || this.place.from !== place.from) this.options = [];
    await new Promise<void>((done) => setTimeout(done, pause));
    if (signal.aborted) return;
    try {
      const options =
        place.kind === 'value'
          ? valueOptions(place, query, await knowledge.values(place.label, place.selector, signal))
          : labelOptions(place, query, await knowledge.labels(place.selector, signal));
      if (!signal.aborted) this.#show(place, options);
    } catch {
      // Without an answer one types on by oneself.
    }
  }
}
