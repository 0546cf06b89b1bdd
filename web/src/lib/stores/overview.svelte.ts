import { api } from '../api/endpoints';
import type { Overview, OverviewStatus } from '../api/types';
import { live } from '../live/live.svelte';
import { Loadable } from './loadable.svelte';

/** The state of hub, log, store and agents; the shell keeps it fresh on every page. */
class OverviewStore {
  loaded = new Loadable<Overview>();
  status = $derived<OverviewStatus | null>(this.loaded.data);
  /** Agents that wait for a person. */
  waiting = $derived(this.status?.agents.red ?? 0);

  start(): () => void {
    void this.load();
    return live.subscribe({ topic: 'overview' }, (message) => {
      if (message.type !== 'overview') return;
      const { id: _id, type: _type, ...status } = message;
      this.loaded.data = { ...status, recent: this.loaded.data?.recent ?? [] };
      this.loaded.error = null;
      this.loaded.loadedAt = Date.now();
    });
  }

  load(): Promise<unknown> {
    return this.loaded.load((signal) => api.overview(signal));
  }
}

export const overview = new OverviewStore();
