import { api } from '../api/endpoints';
import type { Overview, OverviewStatus } from '../api/types';
import { live } from '../live/live.svelte';
import { sinceUntil } from '../router/timerange';
import { now } from '../time/now';
import { Loadable } from './loadable.svelte';
import { timeRange } from './timerange.svelte';

/** The state of hub, log, store and agents; the shell keeps it fresh on every page. */
class OverviewStore {
  loaded = new Loadable<Overview>(() => this.load());
  status = $derived<OverviewStatus | null>(this.loaded.data);
  #key = '';
  /** Whether what is shown is known, be it of a while ago; a dashboard that never reached its hub knows nothing. */
  known = $derived(this.status !== null && this.status.as_of !== null);
  /** The hub's state as far as it is known now. */
  hub = $derived.by(() => {
    if (live.status.hubLostSince) return 'unreachable';
    if (live.staleSince !== null || !this.status) return 'unknown';
    return this.status.status.state;
  });
  /** Agents and hosts that wait for a person, in words, and whether that is urgent. */
  waiting = $derived.by(() => {
    const { agents, nodes } = this.status ?? {};
    const red = (agents?.red ?? 0) + (nodes?.silent ?? 0);
    const parts = [
      [agents?.red, 'not running'],
      [nodes?.silent, nodes?.silent === 1 ? 'host silent' : 'hosts silent'],
      [nodes?.away, nodes?.away === 1 ? 'host away' : 'hosts away'],
    ] as const;
    const says = parts.flatMap(([count, what]) => (count ? [`${count} ${what}`] : [])).join(', ');
    return { count: red || (nodes?.away ?? 0), says, urgent: red > 0 };
  });

  start(): () => void {
    void this.load();
    return live.subscribe({ topic: 'overview' }, (message) => {
      if (message.type !== 'overview') return;
      const { id: _id, type: _type, ...status } = message;
      // What is of a range stays what it is of the one that was asked for.
      const back = !status.store_away && this.loaded.data?.store_away;
      const { top = status.top, findings = status.findings, recent = [] } = this.loaded.data ?? {};
      this.loaded.data = { ...status, top, findings, recent };
      this.loaded.error = null;
      this.loaded.loadedAt = now();
      // What the store tells of the chosen range comes when it is back.
      if (back) void this.load();
    });
  }

  load(): Promise<unknown> {
    this.#key = timeRange.key;
    return this.loaded.load((signal) => api.overview(sinceUntil(timeRange.value), signal));
  }

  /** Loads what is of the chosen range, unless that is here. */
  follow(): void {
    if (this.#key !== timeRange.key) void this.load();
  }
}

export const overview = new OverviewStore();
