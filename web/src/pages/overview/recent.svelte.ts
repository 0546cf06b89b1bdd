import { api } from '$lib/api/endpoints';
import type { Event } from '$lib/api/types';
import { pace } from '$lib/live/pace';
import { overview } from '$lib/stores/overview.svelte';

const shown = 9;

/** The newest events, asked for again whenever the hub says more have come. */
export class RecentEvents {
  list = $state.raw<Event[] | null>(null);
  #next = -1;
  #ask = pace(() => void this.#load(), 2000);

  /** Told how far the log has come. */
  follow(next: number): void {
    this.list ??= overview.loaded.data?.recent.slice(0, shown) ?? null;
    if (next === this.#next) return;
    this.#next = next;
    this.#ask();
  }

  stop(): void {
    this.#ask.cancel();
  }

  async #load(): Promise<void> {
    try {
      this.list = (await api.events({ since: '24h', limit: shown })).events;
    } catch {
      // The page's stale line says what is wrong; the next message asks again.
    }
  }
}
