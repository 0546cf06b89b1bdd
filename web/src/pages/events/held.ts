import type { Event } from '$lib/api/types';

const mostShown = 5000;
const mostWaiting = 5000;
const remembered = 20;

const times = new WeakMap<Event, number>();

/** When an event happened, in milliseconds; read once, as lists compare it often. */
function timeOf(event: Event): number {
  let time = times.get(event);
  if (time === undefined) {
    time = Date.parse(event.time) || 0;
    times.set(event, time);
  }
  return time;
}

/** What Date cannot hold: the digits behind the millisecond. */
const finer = (event: Event) => (/\.\d{3}(\d*)/.exec(event.time)?.[1] ?? '').padEnd(6, '0');

/** Newest first by their own times, of equal ones the later in the log, as searches answer. */
export function order(a: Event, b: Event): number {
  return (
    timeOf(b) - timeOf(a) || (a.time === b.time ? 0 : finer(b).localeCompare(finer(a))) || b.offset - a.offset
  );
}

/**
 * The events of one search, newest first and each once: those shown, and
 * those that came since and wait to be. The log's offsets tell what is new.
 */
export class Held {
  shown: readonly Event[];
  /** Whether more came than may wait, so that what waits has a gap before it. */
  overflowed = false;
  /** How many came since the last release, shown or sampled away. */
  waiting = 0;
  #new: Event[] = [];
  #newest: number | null = null;
  #samples: { shown: number; of: number }[] = [];

  constructor(events: readonly Event[] = []) {
    this.shown = events;
    for (const event of events) this.#newest = Math.max(this.#newest ?? 0, event.offset);
  }

  get newest(): number | null {
    return this.#newest;
  }

  get oldest(): number | null {
    return this.shown.at(-1)?.offset ?? null;
  }

  /** One in how many of the last messages' events came through; 1 is all. */
  get ratio(): number {
    let shown = 0;
    let of = 0;
    for (const sample of this.#samples) {
      shown += sample.shown;
      of += sample.of;
    }
    return shown > 0 && of > shown ? of / shown : 1;
  }

  /** Takes live events in any order; false when all were known already. */
  addNewer(events: readonly Event[], shown: number, of: number): boolean {
    this.#samples.push({ shown, of });
    if (this.#samples.length > remembered) this.#samples.shift();
    const newest = this.#newest ?? -1;
    const fresh = events.filter((event) => event.offset > newest).sort((a, b) => a.offset - b.offset);
    const last = fresh.at(-1);
    if (!last) return false;
    this.#newest = last.offset;
    for (const event of fresh) this.#new.push(event);
    this.waiting += Math.max(fresh.length, of - shown + fresh.length);
    if (this.#new.length > mostWaiting) {
      this.#new = this.#new.slice(-mostWaiting);
      this.overflowed = true;
    }
    return true;
  }

  addOlder(events: readonly Event[]): void {
    const known = new Set(this.shown.map((event) => event.offset));
    this.shown = merge(
      this.shown,
      events.filter((event) => !known.has(event.offset)),
    );
  }

  /** Shows what waits. True when old rows had to go, so that they can be loaded again. */
  release(): boolean {
    this.waiting = 0;
    if (this.#new.length === 0) return false;
    const all = merge(this.#new.sort(order), this.shown);
    this.#new = [];
    const cut = all.length > mostShown;
    this.shown = cut ? all.slice(0, mostShown) : all;
    return cut;
  }
}

/** Two lists in order as one. What came late goes to where it happened. */
function merge(a: readonly Event[], b: readonly Event[]): readonly Event[] {
  const all: Event[] = [];
  let i = 0;
  let j = 0;
  for (let x = a[i], y = b[j]; x && y; x = a[i], y = b[j]) {
    if (order(x, y) <= 0) {
      all.push(x);
      i += 1;
    } else {
      all.push(y);
      j += 1;
    }
  }
  return all.concat(a.slice(i), b.slice(j));
}
