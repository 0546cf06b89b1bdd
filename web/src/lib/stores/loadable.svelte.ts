import { ApiError, explain, isAbort } from '../api/client';
import { live } from '../live/live.svelte';
import { now } from '../time/now';

/** Data of one call, with all a page needs to show its four states. */
export class Loadable<T> {
  data = $state.raw<T | null>(null);
  error = $state.raw<unknown>(null);
  loading = $state(false);
  /** True once loading has taken 150 ms: then, and not before, a skeleton shows. */
  slow = $state(false);
  /** True once loading has taken a second: what stands there is of before, and says so. */
  late = $state(false);
  loadedAt = $state<number | null>(null);
  message = $derived(this.error === null ? '' : explain(this.error));
  #abort: AbortController | null = null;
  #again: () => unknown;
  #waits: () => void = () => {};
  #retry: ReturnType<typeof setTimeout> | undefined;
  /** The part of the system that did not answer, where that is not the hub. */
  away = $derived(this.error instanceof ApiError ? this.error.away : undefined);

  /** `again` loads once more: what failed is asked for again when dashboard and hub are back. */
  constructor(again: () => unknown) {
    this.#again = again;
  }

  /** Runs a call; a newer one makes an older one's answer count for nothing. */
  async load(call: (signal: AbortSignal) => Promise<T>): Promise<T | null> {
    this.cancel();
    const abort = new AbortController();
    this.#abort = abort;
    this.loading = true;
    // What failed is forgotten while it is tried again, unless it stands beside data,
    // or is known to be away: that is asked again and again.
    if (this.data === null && !this.away) this.error = null;
    const timer = setTimeout(() => {
      this.slow = true;
    }, 150);
    const patience = setTimeout(() => {
      this.late = true;
    }, 1000);
    try {
      const data = await call(abort.signal);
      if (abort.signal.aborted) return null;
      this.data = data;
      this.error = null;
      this.loadedAt = now();
      return data;
    } catch (error) {
      if (!abort.signal.aborted && !isAbort(error)) {
        this.error = error;
        this.#waits = live.onRecovered(() => void this.#again());
        // Nobody tells when such a part is back: it is asked again.
        if (error instanceof ApiError && error.away)
          this.#retry = setTimeout(() => void this.#again(), (error.retryAfter ?? 3) * 1000);
      }
      return null;
    } finally {
      clearTimeout(timer);
      clearTimeout(patience);
      if (this.#abort === abort) {
        this.loading = false;
        this.slow = false;
        this.late = false;
      }
    }
  }

  cancel(): void {
    this.#waits();
    clearTimeout(this.#retry);
    this.#abort?.abort();
  }
}
