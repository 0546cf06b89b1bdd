import { api } from '$lib/api/endpoints';
import type { SeriesResponse } from '$lib/api/types';
import { busiest, type Frame, frameOf, type Label, resumed, withPoints } from '$lib/charts/frame';
import { live } from '$lib/live/live.svelte';
import type { TopicMessage } from '$lib/live/protocol';
import { Loadable } from '$lib/stores/loadable.svelte';
import { timeRange } from '$lib/stores/timerange.svelte';
import { now } from '$lib/time/now';
import { names, seriesQuery } from './ask';

const quantiles: Record<string, string> = { '0.5': 'p50', '0.99': 'p99', '0.999': 'p99.9' };
/** There are eight colours: seven types and one for all others. */
const mostTypes = 7;
/** Milliseconds between two asks for steps of which too little came live. */
const loadEvery = 10_000;

/** The series behind Overview's charts, one frame by name of series. */
export class Charts {
  loaded = new Loadable<SeriesResponse>(() => this.load());
  frames = $state.raw<Record<string, Frame>>({});
  /** The types that have lines of their own; null while there are few. */
  #types: ReadonlySet<string> | null = null;

  /** Loads the time range, and follows it while it ends now. */
  start(): () => void {
    void this.load();
    if (!timeRange.live) return () => this.loaded.cancel();
    // What happened while nothing came is not a gap of the charts.
    const recovered = live.onRecovered(() => void this.load());
    const stop = live.subscribe({ topic: 'series', names }, (message) => this.#receive(message));
    return () => {
      stop();
      recovered();
      this.loaded.cancel();
    };
  }

  async load(): Promise<void> {
    const query = seriesQuery(timeRange.value, now());
    const answer = await this.loaded.load((signal) => api.series(query, signal));
    if (!answer) return;
    this.#types = null;
    const order = busiest(frameOf(answer, 'events_per_second', this.#label));
    if (order.length > mostTypes + 1) this.#types = new Set(order.slice(0, mostTypes));
    const shown = this.frames;
    this.frames = Object.fromEntries(
      names.map((name) => [name, resumed(frameOf(answer, name, this.#labelOf(name)), shown[name])]),
    );
    this.#sort(order);
  }

  #label: Label = (labels) => {
    if (labels.quantile) return quantiles[labels.quantile] ?? labels.quantile;
    if (!labels.type) return 'events';
    return !this.#types || this.#types.has(labels.type) ? labels.type : 'other';
  };

  #labelOf(name: string): Label {
    return name === 'queue_depth_highest' ? () => 'events waiting' : this.#label;
  }

  #receive(message: TopicMessage): void {
    if (message.type !== 'series') return;
    const time = Date.parse(message.time) / 1000;
    const from = timeRange.bounds(now()).from / 1000;
    const next: Record<string, Frame> = {};
    for (const [name, frame] of Object.entries(this.frames)) {
      const points = message.points.filter((point) => point.name === name);
      next[name] = withPoints(frame, time, points, this.#labelOf(name), from);
    }
    this.frames = next;
    const behind = Object.values(next).some((frame) => frame.behind);
    if (behind && !this.loaded.loading && now() - (this.loaded.loadedAt ?? 0) >= loadEvery) void this.load();
    // A type that was not there before may be one too many for the colours.
    if (!this.#types && (next.events_per_second?.lines.length ?? 0) > mostTypes + 1) void this.load();
  }

  /** The busiest type at the bottom of the stack, all others on top. */
  #sort(order: readonly string[]): void {
    const frame = this.frames.events_per_second;
    if (!frame) return;
    const rank = (label: string) => (label === 'other' ? order.length : order.indexOf(label));
    const lines = [...frame.lines].sort((a, b) => rank(a.label) - rank(b.label));
    this.frames = { ...this.frames, events_per_second: { ...frame, lines } };
  }
}
