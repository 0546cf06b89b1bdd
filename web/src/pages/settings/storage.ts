import type { StoreAnswer, StoreCluster, StoreDay } from '$lib/api/types';
import { bytes, count } from '$lib/format/units';
import type { Tone } from '$lib/ui/status';

/** What a day's state is called, and how it is to be taken. */
export function dayState(day: StoreDay): { tone: Tone; word: string } {
  if (day.state === 'ok') return { tone: 'ok', word: 'ok' };
  if (day.state === 'rebuilding') return { tone: 'warning', word: 'being rebuilt from the log' };
  return { tone: 'critical', word: 'set aside' };
}

/** What a cluster holds, whether questions go to it and who writes into it, in words. */
export function clusterText(cluster: StoreCluster): string {
  const days = `${cluster.days} ${cluster.days === 1 ? 'day' : 'days'}`;
  return [
    cluster.answers ? 'answers' : '',
    cluster.whole ? 'whole' : 'not whole',
    `${count(cluster.events)} events of ${days} in ${bytes(cluster.bytes)}`,
    `at offset ${count(cluster.next_offset)}`,
    cluster.lag_events > 0 ? `${count(cluster.lag_events)} behind the log` : '',
    cluster.writes ? 'written by this store' : cluster.writer && `written by ${cluster.writer}`,
  ]
    .filter(Boolean)
    .join(', ');
}

export interface DayBar {
  day: string;
  /** Of the fullest day, 0 to 1. */
  share: number;
  tone: Tone;
  says: string;
}

const mostDays = 60;

/** The newest days, oldest first, with those between them that hold nothing. */
export function dayBars(days: readonly StoreDay[]): DayBar[] {
  const known = new Map(days.map((day) => [day.day, day]));
  const names = [...known.keys()].sort();
  const first = Date.parse(`${names[0]}T00:00:00Z`);
  const last = Date.parse(`${names.at(-1)}T00:00:00Z`);
  if (Number.isNaN(first) || Number.isNaN(last)) return [];
  const dayLong = 86_400_000;
  const highest = Math.max(1, ...days.map((day) => day.events));
  const bars: DayBar[] = [];
  for (let at = Math.max(first, last - (mostDays - 1) * dayLong); at <= last; at += dayLong) {
    const name = new Date(at).toISOString().slice(0, 10);
    const day = known.get(name);
    if (!day) {
      bars.push({ day: name, share: 0, tone: 'unknown', says: `${name}: nothing stored` });
      continue;
    }
    const { tone, word } = dayState(day);
    bars.push({
      day: name,
      share: day.events / highest,
      tone,
      says: `${name}: ${count(day.events)} events, ${bytes(day.bytes)}${tone === 'ok' ? '' : `, ${word}`}`,
    });
  }
  return bars;
}

/** How long events are kept, and how many bytes of them at most, in words. */
export function retentionText({ retention_seconds, retention_bytes }: StoreAnswer['store']): {
  time: string;
  size: string;
} {
  const days = retention_seconds === null ? null : Math.round(retention_seconds / 86_400);
  return {
    time: days === null ? 'as long as there is room' : `${count(days)} ${days === 1 ? 'day' : 'days'}`,
    size: retention_bytes > 0 ? `${bytes(retention_bytes)} at most` : 'of any size',
  };
}

/** Bytes an event, over all days; null where none is stored. */
export function bytesAnEvent({ events, bytes: size }: StoreAnswer['store']): number | null {
  return events > 0 ? size / events : null;
}

/** What events are that the store has not made safe yet; the log has them. */
export function lagText({ lag_events, state }: StoreAnswer['store']): string {
  if (lag_events === 0) return 'all that the log has is stored';
  return state === 'ok' ? 'events; on disk within seconds' : 'events; they are in the log';
}
