import { api } from '$lib/api/endpoints';
import type { SeriesResponse } from '$lib/api/types';
import { type Frame, frameOf, type Label, withPoints } from '$lib/charts/frame';
import { live } from '$lib/live/live.svelte';
import { sinceUntil, stepFor } from '$lib/router/timerange';
import { Loadable } from '$lib/stores/loadable.svelte';
import { timeRange } from '$lib/stores/timerange.svelte';

const quantiles: Record<string, string> = { '0.5': 'p50', '0.99': 'p99', '0.999': 'p99.9' };

const labels: Record<string, Label> = {
  events_per_second: (each) => each.type ?? 'all',
  latency_ms: (each) => quantiles[each.quantile ?? ''] ?? 'latency',
  queue_depth: () => 'queue depth',
  connections: () => 'connections',
};

const names = Object.keys(labels);

/** The series behind Overview's charts, one frame by name of series. */
export class Charts {
  loaded = new Loadable<SeriesResponse>();
  frames = $state.raw<Record<string, Frame>>({});

  /** Loads the time range, and follows it while it ends now. */
  start(): () => void {
    void this.load();
    if (!timeRange.live) return () => this.loaded.cancel();
    const stop = live.subscribe({ topic: 'series', names }, (message) => {
      if (message.type !== 'series') return;
      const time = Date.parse(message.time) / 1000;
      const from = timeRange.bounds(Date.now()).from / 1000;
      const next = { ...this.frames };
      for (const [name, frame] of Object.entries(next)) {
        next[name] = withPoints(frame, time, message.points, name, labels[name] ?? (() => name), from);
      }
      this.frames = next;
    });
    return () => {
      stop();
      this.loaded.cancel();
    };
  }

  async load(): Promise<void> {
    const step = `${stepFor(timeRange.value, Date.now())}s`;
    const answer = await this.loaded.load((signal) =>
      api.series({ names: names.join(','), ...sinceUntil(timeRange.value), step }, signal),
    );
    if (!answer) return;
    this.frames = Object.fromEntries(
      Object.entries(labels).map(([name, label]) => [name, ordered(frameOf(answer, name, label))]),
    );
  }
}

/** The busiest line first, at the bottom of a stack; lines of nothing but zero go. */
function ordered(frame: Frame): Frame {
  const sums = new Map(
    frame.lines.map((line) => [line, line.values.reduce<number>((sum, value) => sum + (value ?? 0), 0)]),
  );
  const lines = frame.lines.length > 3 ? frame.lines.filter((line) => sums.get(line)) : [...frame.lines];
  if (frame.lines.some((line) => /^p\d/.test(line.label))) return { ...frame, lines };
  return { ...frame, lines: lines.sort((a, b) => (sums.get(b) ?? 0) - (sums.get(a) ?? 0)) };
}
